"""One run of `manage.py prove gate` as stated, alone on the machine. The others: by the command."""

import pytest

from rateguard.proofs.gate import prove


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(300)
def test_four_workers_that_are_killed_by_turns_keep_and_use_a_providers_limits_for_two_minutes():
    part = prove("kills")
    assert part.is_met, "\n".join(map(str, part.lines))
