"""Groups of events in quarantine: their list, and the page on which one is worked off whole."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from config.base.admin.complaints import REFUSED
from config.base.audit import Actor
from config.base.fields import PlainTextInput
from metering import properties, services
from metering.admin.likely_fix import LikelyFix, first_step, likely_fix
from metering.admin.words import counted, moment
from metering.models import (
    QuarantineCode,
    QuarantinedEvent,
    QuarantinedEventQuerySet,
    QuarantineGroup,
    about_field,
)
from metering.services import Progress

SHOWN = 50
REASONS_SHOWN = 5
WORK = "metering.change_quarantinedevent"
_ABOUT_NOTHING = {
    QuarantineCode.UNKNOWN_CUSTOMER: "no subject",
    QuarantineCode.AMBIGUOUS_SUBSCRIPTION: "no subject",
}


class ChoiceForm(forms.Form):
    """What the events of a group should have said, and whether to dismiss them instead."""

    do = forms.ChoiceField(choices=[("replay", ""), ("mend", ""), ("dismiss", "")])
    value = forms.CharField(max_length=255, required=False)
    reason = PlainTextInput(max_length=2000, required=False)
    after = forms.IntegerField(required=False, min_value=0)
    done = forms.IntegerField(required=False, min_value=0)
    refused = forms.IntegerField(required=False, min_value=0)

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        if said.get("do") == "mend" and not said.get("value"):
            self.add_error("value", "Say what they should have said.")
        if said.get("do") == "dismiss" and not said.get("reason", "").strip():
            self.add_error("reason", "Say why they are never to be counted.")
        return said


def group_rows(rows: QuarantinedEventQuerySet, user: Any) -> dict[str, Any]:
    """Return the open groups as plain values for the list, in two queries however many there are."""
    groups = rows.groups(limit=SHOWN + 1)
    samples = QuarantinedEvent.objects.in_bulk([group.sample for group in groups[:SHOWN]])
    return {
        "groups": [_row(group, samples[group.sample], user) for group in groups[:SHOWN]],
        "has_more_groups": len(groups) > SHOWN,
    }


def group_url(code: str, about: str) -> str:
    query = urlencode({"code": code, "about": about})
    return f"{reverse('admin:metering_quarantinedevent_group')}?{query}"


def _row(group: QuarantineGroup, sample: QuarantinedEvent, user: Any) -> dict[str, Any]:
    label, url = first_step(group.code, group.about, sample, user)
    return {
        "reason": QuarantineCode(group.code).label,
        "about": group.about or _ABOUT_NOTHING.get(QuarantineCode(group.code), "—"),
        "detail": sample.detail,
        "count": f"{group.events:,}",
        "since": moment(group.first_received_at),
        "url": group_url(group.code, group.about),
        "fix_label": label,
        "fix_url": url,
    }


class GroupPage:
    """The page of one group; `admin` is the quarantine's."""

    def __init__(self, admin: Any, request: HttpRequest) -> None:
        self.admin, self.request = admin, request
        self.code = request.GET.get("code", "")
        self.about = request.GET.get("about", "").replace("\x00", "")

    def answer(self) -> HttpResponse:
        if not self.admin.has_view_permission(self.request):
            raise PermissionDenied
        if self.request.method != "POST":
            return self._show(None)
        if not self.request.user.has_perm(WORK):
            raise PermissionDenied
        form = ChoiceForm(self.request.POST)
        return self._work(form) if form.is_valid() else self._show(form)

    def _rows(self) -> QuarantinedEventQuerySet:
        return QuarantinedEvent.objects.waiting().about(self.code, self.about)

    def _show(self, form: ChoiceForm | None) -> HttpResponse:
        [*found] = self._rows().groups(limit=1)
        if not found:
            return HttpResponseRedirect(self.admin.url("changelist"))
        [group] = found
        sample = QuarantinedEvent.objects.get(pk=group.sample)
        row = _row(group, sample, self.request.user)
        context = {
            **self.admin.page_context(self.request, f"{row['reason']}: {row['about']}", None),
            "group": {
                **row,
                "events": counted(group.events, "event"),
                "until": moment(group.last_received_at),
                "list_url": self._list_url(),
                "sample": properties.pretty(properties.read(sample.raw)),
                "sample_url": self.admin.url("change", sample.pk),
                "is_conflict": self.code == QuarantineCode.CONFLICT,
            },
            "fix": likely_fix(self.code, self.about, sample, self.request.user),
            "may_work": self.request.user.has_perm(WORK),
            "faults": form.errors if form else {},
            "entered": form.data if form else {},
            "back": self.admin.url("changelist"),
        }
        return TemplateResponse(self.request, "admin/metering/quarantine_group.html", context)

    def _list_url(self) -> str:
        filters = {
            "status__exact": "open",
            "code__exact": self.code,
            about_field(self.code): self.about,
        }
        return f"{self.admin.url('changelist')}?{urlencode(filters)}"

    def _work(self, form: ChoiceForm) -> HttpResponse:
        said = form.cleaned_data
        try:
            progress = self._part(said)
        except REFUSED as refusal:
            self.admin.tell(self.request, refusal)
            return HttpResponseRedirect(self.request.get_full_path())
        done = (said["done"] or 0) + progress.done
        refused = (said["refused"] or 0) + sum(progress.refused.values())
        if progress.after is not None:
            return self._go_on(said, progress, done, refused)
        return self._finished(said["do"], done, refused, progress)

    def _part(self, said: dict[str, Any]) -> Progress:
        common: dict[str, Any] = {
            "code": self.code,
            "about": self.about,
            "after": said["after"] or 0,
            "at": timezone.now(),
            "actor": Actor.user(self.request.user),
        }
        if said["do"] == "dismiss":
            return services.dismiss_group(reason=said["reason"], **common)
        name = self._fix().field
        fixes = {name: said["value"]} if said["do"] == "mend" and name else {}
        return services.replay_group(fixes=fixes, **common)

    def _fix(self) -> LikelyFix:
        sample = self._rows().order_by("pk").first()
        if sample is None:
            return LikelyFix([])
        return likely_fix(self.code, self.about, sample, self.request.user)

    def _go_on(
        self, said: dict[str, Any], progress: Progress, done: int, refused: int
    ) -> HttpResponse:
        """Show how far it is, in a page that sends itself for the next part."""
        left = self._rows().filter(pk__gt=progress.after).count()
        hidden = {
            **{name: said[name] for name in ("do", "value", "reason")},
            "after": progress.after,
            "done": done,
            "refused": refused,
        }
        context = {
            **self.admin.page_context(self.request, "Working on it", None),
            "hidden": hidden.items(),
            "done": f"{counted(done, 'event')} {self._done_word(said['do'])}",
            "refused": refused,
            "left": f"{left:,}",
            "percent": 100 * (done + refused) // max(1, done + refused + left),
        }
        return TemplateResponse(self.request, "admin/metering/quarantine_progress.html", context)

    def _finished(self, do: str, done: int, refused: int, progress: Progress) -> HttpResponse:
        if done:
            text = f"{counted(done, 'event')} {self._done_word(do)}."
            self.admin.message_user(self.request, text, messages.SUCCESS)
        for sentence, count in progress.refused.most_common(REASONS_SHOWN):
            self.admin.message_user(
                self.request, f"{counted(count, 'event')}: {sentence}", messages.WARNING
            )
        if refused > sum(progress.refused.values()):
            text = f"{counted(refused, 'event')} in all can’t be counted yet."
            self.admin.message_user(self.request, text, messages.WARNING)
        here = self.request.get_full_path()
        is_left = self._rows().exists()
        return HttpResponseRedirect(here if is_left else self.admin.url("changelist"))

    def _done_word(self, do: str) -> str:
        return "dismissed" if do == "dismiss" else "counted"
