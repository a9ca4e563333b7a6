import pytest

from rateguard.celery import app
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane, parse_lane, queue_name


@pytest.mark.parametrize("lane", list(Lane))
def test_a_lane_is_read_by_its_name_and_its_number(lane):
    assert parse_lane(lane.label) is parse_lane(lane.label.upper()) is parse_lane(int(lane)) is lane


@pytest.mark.parametrize("value", ["urgent", "", 0, 6])
def test_an_unknown_lane_is_refused_with_the_names_of_all(value):
    with pytest.raises(InvalidRequest, match="critical, high, normal, low, background") as caught:
        parse_lane(value)
    assert (caught.value.code, caught.value.pointer) == ("unknown_lane", "/lane")


def test_a_message_reaches_the_queue_of_its_lane_and_no_other():
    queues = app.amqp.queues.values()
    assert len({(queue.exchange.name, queue.routing_key) for queue in queues}) == len(queues) == len(Lane) + 1


def test_each_lane_has_a_queue_of_its_own_in_celery():
    assert {queue_name(lane) for lane in Lane} | {"celery"} == {queue.name for queue in app.conf.task_queues}
