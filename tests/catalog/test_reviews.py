"""Reminders that a metric's worksheet is due for review: who gets one, and that there is only one."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import call_command

from catalog.models import MetricStatus, ValueMetric
from catalog.reviews import remind_of_reviews
from catalog.services import change_metric
from catalog.tasks import remind
from config.base.audit import SYSTEM, Actor
from config.base.models import Outbox
from config.base.services import outbox
from tests import factories as make
from tests.staff import anna, leo, page, person, said, sam

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
TODAY = date(2026, 11, 25)


@pytest.fixture(autouse=True)
def _staff() -> None:
    """Anna and Leo may change metrics, Sam may not, and Ed left."""
    for sign_in in (anna, leo, sam):
        sign_in()
    person("ed", is_superuser=True)
    for user in User.objects.all():
        user.email = f"{user.username}@us.example"
        user.is_active = user.username != "ed"
        user.save()


def due(key: str = "calls", *, on: date = TODAY, by: str = "") -> ValueMetric:
    """Make a metric whose review somebody set for that day."""
    actor = Actor.user(User.objects.get(username=by)) if by else SYSTEM
    return change_metric(metric_id=make.metric(key).pk, fields={"review_on": on}, actor=actor)


def delivered(at: datetime = NOW) -> list[tuple[str, list[str]]]:
    """Remind, deliver, and return the mails: their subjects and who gets them."""
    remind_of_reviews(at=at)
    outbox.deliver_due(at=at)
    return [(str(one.subject), one.to) for one in mail.outbox]


def test_it_goes_to_whoever_set_the_date() -> None:
    metric = due(by="leo")
    assert delivered() == [("Due for review: Calls", ["leo@us.example"])]
    body = mail.outbox[0].body
    assert "25 November 2026" in body
    assert f"/admin/catalog/valuemetric/{metric.pk}/change/" in body


@pytest.mark.parametrize("by", ["", "ed"], ids=["the API set it", "who set it left"])
def test_else_it_goes_to_all_who_may_change_metrics(by: str) -> None:
    due(by=by)
    [(_, to)] = delivered()
    able = {user.email for user in User.objects.filter(is_active=True) if _may(user)}
    assert set(to) == able
    assert "sam@us.example" not in to


def _may(user: User) -> bool:
    return user.has_perm("catalog.change_valuemetric")


def test_there_is_one_for_each_date_however_often_it_runs() -> None:
    metric = due(by="leo")
    for days in (0, 0, 1, 30):
        delivered(NOW + timedelta(days=days))
    assert len(mail.outbox) == 1
    later = date(2026, 12, 31)
    change_metric(metric_id=metric.pk, fields={"review_on": later}, actor=SYSTEM)
    assert len(delivered(NOW + timedelta(days=31))) == 1
    assert len(delivered(NOW + timedelta(days=36))) == 2


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        pytest.param({"review_on": TODAY + timedelta(days=1)}, 0, id="tomorrow"),
        pytest.param({"review_on": TODAY}, 1, id="today"),
        pytest.param({"review_on": None}, 0, id="never"),
        pytest.param({"status": MetricStatus.RETIRED}, 0, id="retired"),
    ],
)
def test_what_is_due(fields: dict[str, object], count: int) -> None:
    metric = due(by="leo")
    ValueMetric.objects.filter(pk=metric.pk).update(**fields)
    assert len(delivered()) == count


def test_a_date_that_was_moved_before_the_mail_went_needs_none() -> None:
    metric = due(by="leo")
    remind_of_reviews(at=NOW)
    ValueMetric.objects.filter(pk=metric.pk).update(review_on=TODAY + timedelta(days=9))
    outbox.deliver_due(at=NOW)
    assert mail.outbox == []
    assert Outbox.objects.get().status == "done"


def test_task_and_command_do_the_same() -> None:
    due(by="leo")
    out = io.StringIO()
    with time_machine.travel(NOW, tick=False):
        call_command("remind_reviews", stdout=out)
        call_command("remind_reviews", stdout=out)
        remind()
    assert out.getvalue() == "Reminded of Calls.\nNothing is due that was not said.\n"
    assert Outbox.objects.count() == 1


def test_the_list_marks_and_finds_what_is_due() -> None:
    due("calls")
    due("later", on=TODAY + timedelta(days=7))
    make.metric("undated")
    with time_machine.travel(NOW, tick=False):
        client = person("nora", is_superuser=True)
        address = page("catalog_valuemetric", "changelist")
        words = said(client.get(address))
        assert "due 25 Nov 2026" in words
        assert "2 Dec 2026" in words
        found = {
            name: [
                metric.key
                for metric in client.get(address, {"review": name}).context["cl"].queryset
            ]
            for name in ("due", "later", "none")
        }
        assert found == {"due": ["calls"], "later": ["later"], "none": ["undated"]}
        home = client.get("/admin/").content.decode()
        assert f"{address}?review=due" in home
