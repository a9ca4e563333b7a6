"""From the price list's parts to the engine's price: what it says, and what follows from it where it says nothing."""

import pytest

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.money import Rates
from tenants.changes.price_parts import in_details, shown
from tenants.prices import find_price, rows_of_file
from tenants.pricing import price_of, scaled

STANDARD = Rates(2_000_000, 200_000, 2_500_000, 10_000_000)


def shipped():
    rows = list(rows_of_file())
    names = ("input_pico", "cached_input_pico", "cache_write_pico", "output_pico")
    return {
        (row["provider"], row["model"]): price_of(row["provider"], Rates(*(row[name] for name in names)), row["details"]) for row in rows
    }


SHIPPED = shipped()


def test_every_part_of_the_shipped_list_is_in_the_price_that_it_makes():
    told = {"batch": 0, "flex": 0, "priority": 0}
    for row in rows_of_file():
        price = SHIPPED[row["provider"], row["model"]]
        for name, pico in row["details"]["prices"].items():
            tier, _, kind = name.partition("_")
            if tier in told:
                told[tier] += 1
                assert getattr(price.at(tier), f"{kind}_pico") == pico
            else:
                assert price.cache_write_long_pico == pico
        for one in row["details"].get("long_context", ()):
            long = price.for_input(one["above_input_tokens"] + 1)
            assert {f"{name}_pico": getattr(long, f"{name}_pico") for name in one["price"]} == {
                f"{name}_pico": pico for name, pico in one["price"].items()
            }
            assert price.for_input(one["above_input_tokens"]) is price
    assert min(told.values()) > 40


def test_providers_are_called_as_accounts_call_them():
    assert {provider for provider, _ in SHIPPED} == {
        "openai", "azure", "anthropic", "bedrock", "gemini", "vertex", "groq", "mistral", "deepseek", "xai", "together",
        "fireworks", "cohere",
    }  # fmt: skip
    assert SHIPPED["vertex", "gemini-2.5-pro"] == SHIPPED["gemini", "gemini-2.5-pro"]


def test_a_tier_without_a_cached_price_is_as_far_from_the_standard_as_its_input():
    gpt4o = SHIPPED["openai", "gpt-4o"]
    assert gpt4o.at("priority").cached_input_pico == 1_250_000 * 4_250_000 // 2_500_000 == 2_125_000


def test_a_long_request_at_a_tier_is_as_far_from_the_standard_as_a_short_one():
    gpt = SHIPPED["openai", "gpt-5.5"]
    long = gpt.for_input(272_001)
    assert (long.at("batch").input_pico, long.at("batch").output_pico) == (5_000_000, 22_500_000)
    assert long.at("priority").input_pico == 25_000_000


def test_flex_costs_what_batch_costs_where_only_one_is_named():
    price = price_of("nobody", STANDARD, {"prices": {"batch_input": 1_000_000, "batch_output": 4_000_000}})
    assert price.at("flex") == price.at("batch") == Rates(1_000_000, 100_000, 1_250_000, 4_000_000, 2_000_000)
    assert price.at("priority") is price


def test_a_tier_that_no_list_names_costs_what_is_known_of_its_provider_and_elsewhere_the_standard():
    found = {name: price_of(name, STANDARD, {}).at("batch").input_pico for name in ("anthropic", "xai", "ollama")}
    assert found == {"anthropic": 1_000_000, "xai": 1_600_000, "ollama": 2_000_000}


def test_writing_for_long_costs_twice_the_input_where_writing_costs_more_than_input():
    assert price_of("anthropic", STANDARD, {}).cache_write_long_pico == 4_000_000
    assert price_of("openai", Rates(2, 1, 2, 8), {}).cache_write_long_pico is None


def test_a_profile_of_a_region_costs_a_tenth_more_for_claude_and_a_global_one_the_same():
    claude = SHIPPED["bedrock", "anthropic.claude-sonnet-5"]
    assert find_price(SHIPPED, "bedrock", "us.anthropic.claude-sonnet-5") == scaled(claude, 1_100)
    assert find_price(SHIPPED, "bedrock", "us.anthropic.claude-sonnet-5").input_pico == 2_200_000
    assert find_price(SHIPPED, "bedrock", "global.anthropic.claude-sonnet-5") == claude
    assert find_price(SHIPPED, "bedrock", "eu.amazon.nova-pro-v1:0") == SHIPPED["bedrock", "amazon.nova-pro-v1:0"]
    assert find_price(SHIPPED, "openai", "us.gpt-4o") is None


PARTS = {
    "batch_input_usd": "1", "audio_input_usd": "32.5", "cache_write_long_usd": "4", "priority_audio_output_usd": "0.000001",
    "search_usd": "0.014", "terms": {"us": "1.1"},
    "long_context": [{"above_input_tokens": 200_000, "input_usd": "4", "priority_output_usd": "40"}],
}  # fmt: skip


def test_parts_come_back_as_they_were_written_and_facts_of_the_model_stay():
    details = in_details({"context_tokens": 8_000, "prices": {"flex_input": 7}}, PARTS)
    assert shown(details) == PARTS
    assert (details["context_tokens"], "flex_input" in details["prices"]) == (8_000, False)
    price = price_of("openai", STANDARD, details)
    assert (price.audio_input_pico, price.search_nano_usd, price.terms) == (32_500_000, 14_000_000, (("us", 1_100),))
    assert price.for_input(200_001).at("priority").output_pico == 40_000_000


def test_the_shipped_parts_can_be_written_as_they_are_shown():
    for row in rows_of_file():
        again = in_details(row["details"], shown(row["details"]))
        assert price_of(row["provider"], STANDARD, again) == price_of(row["provider"], STANDARD, row["details"])


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        ([], "/parts"),
        ({"batch_input_usd": "-1"}, "/parts/batch_input_usd"),
        ({"batch_input_usd": True}, "/parts/batch_input_usd"),
        ({"batch_input_usd": "0.0000001"}, "/parts/batch_input_usd"),
        ({"batch_input_usd": "1e400"}, "/parts/batch_input_usd"),
        ({"batch_input_usd": {"a": 1}}, "/parts/batch_input_usd"),
        ({"input_usd": "1"}, "/parts/input_usd"),
        ({"night_input_usd": "1"}, "/parts/night_input_usd"),
        ({"search_usd": "NaN"}, "/parts/search_usd"),
        ({"terms": {"US!": "1"}}, "/parts/terms"),
        ({"terms": {"us": "0.0001"}}, "/parts/terms/us"),
        ({"long_context": {}}, "/parts/long_context"),
        ({"long_context": [{"input_usd": "1"}]}, "/parts/long_context/0/above_input_tokens"),
        ({"long_context": [{"above_input_tokens": 5}, {"above_input_tokens": 5}]}, "/parts/long_context/1/above_input_tokens"),
        ({"long_context": [{"above_input_tokens": 5, "inputs_usd": "1"}]}, "/parts/long_context/0/inputs_usd"),
    ],
)
def test_what_cannot_be_a_price_is_refused_with_its_place(parts, pointer):
    with pytest.raises(InvalidRequest) as refused:
        in_details({}, parts)
    assert refused.value.pointer == pointer
