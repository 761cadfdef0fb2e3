"""Staff and their roles."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelect2MultipleWidget

from config.base.admin.audited import AuditedAdmin
from config.base.admin.theme import display

admin.site.unregister(User)
admin.site.unregister(Group)

POWERS = ("is_superuser", "is_staff", "groups", "user_permissions")


@admin.register(User)
class UserAdmin(DjangoUserAdmin, AuditedAdmin[User]):  # type: ignore[misc, type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "full_name", "email", "roles", "is_active", "last_login")
    list_filter = ("is_active", "groups")
    search_help_text = "Search by name or e-mail"
    empty_hint = "Add everybody who works here, and give each a role."
    ordering = ("username",)
    filter_horizontal = ()
    autocomplete_fields = ("groups",)
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Who", {"fields": ("first_name", "last_name", "email")}),
        (
            "What they may do",
            {
                "fields": ("is_active", "is_staff", "groups", "is_superuser"),
                "description": "Give roles rather than single permissions: Finance for the daily "
                "work, Finance lead to publish prices, Support to read, Developer for metrics "
                "and API keys.",
            },
        ),
        ("When", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "usable_password", "password1", "password2")}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Let only superusers hand out powers."""
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, *POWERS)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        return allowed and not self._is_above(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        return allowed and not self._is_above(request, obj)

    def user_change_password(
        self, request: HttpRequest, id: str, form_url: str = ""
    ) -> HttpResponse:
        with transaction.atomic():
            return super().user_change_password(request, id, form_url)

    @display(description="Name", ordering="last_name")
    def full_name(self, user: User) -> str:
        return user.get_full_name()

    @display(description="Roles")
    def roles(self, user: User) -> str:
        if user.is_superuser:
            return "Everything (superuser)"
        return ", ".join(group.name for group in user.groups.all())

    @staticmethod
    def _is_above(request: HttpRequest, user: User | None) -> bool:
        return bool(user and user.is_superuser and not request.user.is_superuser)


class GroupForm(forms.ModelForm[Group]):
    permissions = forms.ModelMultipleChoiceField(
        Permission.objects.select_related("content_type"),
        required=False,
        widget=UnfoldAdminSelect2MultipleWidget(),
        help_text="What everybody in this role may do. Type to search.",
    )


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, AuditedAdmin[Group]):
    list_display = ("name", "people")
    search_fields = ("name",)
    empty_hint = "A role is what several people may do. The usual four come with every migration."
    form = GroupForm
    filter_horizontal = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).annotate(people_count=Count("user"))

    @display(description="People", ordering="people_count")
    def people(self, group: Any) -> int:
        count: int = group.people_count
        return count
