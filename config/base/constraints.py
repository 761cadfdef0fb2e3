"""Shorthands for the CHECK constraints that models name in sentences."""

from django.db.models import CheckConstraint, Q, TextChoices


def one_of(
    field: str, choices: type[TextChoices], *, name: str, blank: bool = False
) -> CheckConstraint:
    """Allow only the values of `choices` (and, with `blank`, the empty string)."""
    values = [*choices.values, ""] if blank else choices.values
    return CheckConstraint(name=name, condition=Q(**{f"{field}__in": values}))


def exactly_when(left: Q, right: Q, *, name: str, message: str = "") -> CheckConstraint:
    """Require `left` and `right` to be both true or both false."""
    return CheckConstraint(
        name=name,
        condition=(left & right) | (~left & ~right),
        violation_error_message=message or None,
    )


def never_negative(*fields: str, name: str, message: str = "") -> CheckConstraint:
    """Require each field to be zero or more, where it has a value."""
    condition = Q()
    for field in fields:
        condition &= Q(**{f"{field}__isnull": True}) | Q(**{f"{field}__gte": 0})
    return CheckConstraint(name=name, condition=condition, violation_error_message=message or None)
