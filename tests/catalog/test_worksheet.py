"""The worksheet: three questions, what follows from their answers, and who decides otherwise."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from catalog.models import Answer, Decision, MetricAnswer, MetricDecision, Question, ValueMetric
from catalog.worksheet import (
    Answered,
    MetricInPlay,
    Worksheet,
    answer_questions,
    decide,
    due_for_review,
    worksheets,
)
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from config.base.models import AuditEntry
from tests import factories as make
from tests.conftest import Caller
from tests.staff import leo, sam

pytestmark = pytest.mark.django_db


def answer(metric: ValueMetric, text: str) -> Worksheet:
    """Answer the questions in their order: "no yes -", where "-" leaves one as it is."""
    given = {
        question: Answered(Answer(word), "measured in March" if word == "no" else "")
        for question, word in zip(Question, text.split(), strict=True)
        if word != "-"
    }
    return answer_questions(metric_id=metric.pk, answers=given, at=make.AT, actor=SYSTEM)


@pytest.mark.parametrize(
    ("rounds", "status"),
    [
        pytest.param(["yes yes yes"], "candidate", id="stands all three"),
        pytest.param(["no yes yes"], "candidate", id="one failure is allowed"),
        pytest.param(["no - no"], "deprioritised", id="two are not"),
        pytest.param(["no no no"], "deprioritised", id="three neither"),
        pytest.param(["no unsure unsure"], "candidate", id="not knowing is no failure"),
        pytest.param(["no no yes", "- yes -"], "candidate", id="better answers take it back"),
        pytest.param(["no no yes", "- - no"], "deprioritised", id="worse ones don’t"),
    ],
)
def test_failing_more_than_one_question_deprioritises(rounds: list[str], status: str) -> None:
    metric = make.metric()
    for text in rounds:
        sheet = answer(metric, text)
    assert sheet.metric.status == status
    metric.refresh_from_db()
    assert metric.status == status


def test_a_no_rests_on_evidence() -> None:
    metric = make.metric()
    given = {Question.VALUE: Answered(Answer.NO, "  ")}
    with pytest.raises(Invalid) as refusal:
        answer_questions(metric_id=metric.pk, answers=given, at=make.AT, actor=SYSTEM)
    assert [fault.path for fault in refusal.value.faults] == [("value", "evidence")]
    assert not MetricAnswer.objects.exists()


def test_the_same_answer_again_changes_nothing() -> None:
    metric = make.metric()
    answer(metric, "yes no -")
    entries = AuditEntry.objects.count()
    answer(metric, "yes no -")
    assert (MetricAnswer.objects.count(), AuditEntry.objects.count()) == (2, entries)


def test_all_answers_are_kept_and_the_latest_counts() -> None:
    metric = make.metric()
    answer(metric, "yes - -")
    sheet = answer(metric, "no - -")
    assert sheet.answers[Question.MEASURABLE].answer == "no"
    assert MetricAnswer.objects.count() == 2


def test_somebody_decides_otherwise_and_better_answers_do_not_undo_it() -> None:
    metric = make.metric()
    answer(metric, "no no -")
    decide(
        metric_id=metric.pk, decision=Decision.ADOPTED, reason="A pilot", at=make.AT, actor=SYSTEM
    )
    sheet = answer(metric, "- - no")
    assert sheet.metric.status == "candidate"
    decide(
        metric_id=metric.pk,
        decision=Decision.DEPRIORITISED,
        reason="No",
        at=make.AT,
        actor=SYSTEM,
    )
    assert answer(metric, "yes yes yes").metric.status == "deprioritised"
    assert [one.decision for one in MetricDecision.objects.order_by("pk")] == [
        "deprioritised",
        "adopted",
        "deprioritised",
    ]


def test_what_is_billed_is_decided_by_its_plans() -> None:
    metric = make.metric()
    make.published(make.graduated(metric, "rest @ 1"))
    with pytest.raises(MetricInPlay, match="in use"):
        decide(
            metric_id=metric.pk,
            decision=Decision.DEPRIORITISED,
            reason="x",
            at=make.AT,
            actor=SYSTEM,
        )
    answer(metric, "no no no")
    metric.refresh_from_db()
    assert metric.status == "active"


def test_a_review_is_due_on_its_day() -> None:
    day = date(2026, 11, 25)
    late, today, later = (make.metric(key) for key in ("late", "today", "later"))
    for metric, when in ((late, day - timedelta(9)), (today, day), (later, day + timedelta(1))):
        ValueMetric.objects.filter(pk=metric.pk).update(review_on=when)
    assert due_for_review(on=day) == [late, today]


def test_worksheets_take_two_queries(django_assert_num_queries: Any) -> None:
    metrics = [make.metric(f"m{n}") for n in range(5)]
    for metric in metrics:
        answer(metric, "yes no -")
    with django_assert_num_queries(2):
        assert [sheet.metric for sheet in worksheets(metrics)] == metrics


class TestAdmin:
    def page(self, metric: ValueMetric, name: str) -> str:
        return reverse(f"admin:catalog_valuemetric_{name}", args=(metric.pk,))

    def test_questions_are_answered_and_shown(self) -> None:
        metric, client = make.metric(), leo()
        url = self.page(metric, "answer")
        assert client.get(url).content.count(b"<fieldset") == 3
        form = {
            "measurable-answer": "no",
            "measurable-evidence": "Counters differ",
            "value-answer": "no",
        }
        refused = client.post(url, form)
        assert "Say what the “no” rests on." in refused.content.decode()
        client.post(url, {**form, "value-evidence": "<b>Flat</b>"})
        shown = client.get(self.page(metric, "change")).content.decode()
        assert "Deprioritised" in shown
        assert "It fails 2 of the three questions; one is still open." in shown
        assert "&lt;b&gt;Flat&lt;/b&gt;" in shown

    def test_a_decision_needs_its_reason(self) -> None:
        metric, client = make.metric(), leo()
        url = self.page(metric, "decide")
        for reason in ("", "a\u202eb"):
            client.post(url, {"decision": "deprioritised", "reason": reason})
        assert not MetricDecision.objects.exists()
        client.post(url, {"decision": "deprioritised", "reason": "Nobody asks for it"})
        metric.refresh_from_db()
        assert metric.status == "deprioritised"

    def test_candidates_stand_side_by_side(self) -> None:
        metrics = [make.metric("calls"), make.metric("seats")]
        answer(metrics[0], "no - yes")
        found = leo().post(
            reverse("admin:catalog_valuemetric_changelist"),
            {"action": "compare", "_selected_action": [metric.pk for metric in metrics]},
        )
        said = found.content.decode()
        assert said.count('<th scope="col">') == 3
        assert "measured in March" in said

    def test_who_may_only_read_answers_nothing(self) -> None:
        metric, client = make.metric(), sam()
        assert client.post(self.page(metric, "answer"), {"value-answer": "yes"}).status_code == 403
        assert Client().get(self.page(metric, "answer")).status_code == 302
        assert not MetricAnswer.objects.exists()


class TestApi:
    def test_answers_and_decisions(self, caller: Caller) -> None:
        make.metric("calls")
        url = "/api/v1/metrics/calls/worksheet"
        client = caller()
        assert client.get(url).json() == {"status": "candidate", "answers": {}, "decisions": []}
        no = {"answer": "no", "evidence": "Counted twice"}
        said = client.post(url, {"measurable": no, "value": no}).json()
        assert said["status"] == "deprioritised"
        assert said["answers"]["value"]["evidence"] == "Counted twice"
        assert said["decisions"][0]["is_automatic"] is True
        decided = {"decision": "candidate", "reason": "Counters are mended"}
        said = client.post("/api/v1/metrics/calls/decide", decided).json()
        assert (said["status"], said["decisions"][0]["reason"]) == (
            "candidate",
            "Counters are mended",
        )

    def test_a_no_without_evidence_is_named(self, caller: Caller) -> None:
        make.metric("calls")
        refused = caller().post("/api/v1/metrics/calls/worksheet", {"value": {"answer": "no"}})
        assert refused.status_code == 400
        assert [error["pointer"] for error in refused.json()["errors"]] == ["/value/evidence"]

    def test_reading_takes_no_answer(self, caller: Caller) -> None:
        make.metric("calls")
        client = caller("catalog:read")
        assert client.get("/api/v1/metrics/calls/worksheet").status_code == 200
        answered = client.post("/api/v1/metrics/calls/worksheet", {"value": {"answer": "yes"}})
        assert answered.status_code == 403

    def test_its_own_name_cost_trend_and_review(self, caller: Caller) -> None:
        make.metric("calls")
        sent = {"internal_name": "rq", "cost_trend": "falling", "review_on": "2027-01-31"}
        changed = caller().patch("/api/v1/metrics/calls", sent).json()
        assert {name: changed[name] for name in sent} == sent
