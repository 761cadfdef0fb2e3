"""Roles after migrate: complete, and never less than what a person granted."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User

from catalog.groups import GRANTS as CATALOG
from config.base.groups import DEVELOPER, FINANCE, FINANCE_LEAD, SUPPORT, grant_after_migrate

pytestmark = pytest.mark.django_db

WHO_MAY = [
    ("catalog.publish_planversion", {FINANCE_LEAD}),
    ("catalog.change_planversion", {FINANCE, FINANCE_LEAD}),
    ("catalog.add_valuemetric", {FINANCE_LEAD, DEVELOPER}),
    ("catalog.view_planversion", {FINANCE, FINANCE_LEAD, SUPPORT, DEVELOPER}),
    ("customers.add_subscription", {FINANCE, FINANCE_LEAD}),
    ("customers.change_issuer", {FINANCE_LEAD}),
    ("base.add_apikey", {DEVELOPER}),
    ("base.view_auditentry", {FINANCE_LEAD, DEVELOPER}),
    ("auth.change_user", set()),
    ("base.delete_auditentry", set()),
]


@pytest.mark.parametrize(("permission", "roles"), WHO_MAY)
def test_each_role_may_do_its_work_and_no_more(permission: str, roles: set[str]) -> None:
    found = set()
    for group in Group.objects.all():
        user = User.objects.create(username=group.name, is_staff=True)
        user.groups.add(group)
        if user.has_perm(permission):
            found.add(group.name)
    assert found == roles


def test_migrating_again_adds_what_is_missing_and_keeps_what_was_granted() -> None:
    group = Group.objects.get(name=SUPPORT)
    extra = Permission.objects.get(codename="add_customer")
    group.permissions.set([extra])

    grant_after_migrate(CATALOG)(sender=apps.get_app_config("catalog"), using="default")

    kept = set(group.permissions.values_list("codename", flat=True))
    assert {"add_customer", "view_plan", "view_planversion"} <= kept


def test_a_deleted_role_comes_back() -> None:
    Group.objects.get(name=SUPPORT).delete()
    grant_after_migrate(CATALOG)(sender=apps.get_app_config("catalog"), using="default")
    assert Group.objects.get(name=SUPPORT).permissions.filter(codename="view_plan").exists()
