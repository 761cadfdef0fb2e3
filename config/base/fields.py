"""Fields shared by every model: exact decimals and the callers' own keys."""

import re
from collections.abc import Callable
from decimal import Context, Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import connection as default_connection
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.models.expressions import Combinable

SQLITE_DIGITS = 15  # SQLite stores decimals as binary floats, which hold so many digits exactly

validate_key = RegexValidator(
    r"\A(?!\.{1,2}\Z)[!-\"$-.0->@-~]{1,255}\Z",
    "Use 1 to 255 printable ASCII characters without space, slash, question mark or hash.",
    code="invalid_key",
)

_CONTROLS = "\x00-\x1f\x7f-\x9f"
_BIDI = "\u202a-\u202e\u2066-\u2069"
NOT_IN_A_LINE = re.compile(f"[{_CONTROLS}{_BIDI}\u2028\u2029\ud800-\udfff]")
NOT_IN_A_TEXT = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDI}\ud800-\udfff]")
"""What can't be seen and changes how the rest reads, in one line and in several."""
UNSEEN = "Control characters and bidirectional overrides are not allowed."


def validate_line(value: Any) -> None:
    """Refuse a line with what can't be seen in it."""
    if isinstance(value, str) and NOT_IN_A_LINE.search(value):
        raise ValidationError(UNSEEN, code="invisible")


def validate_text(value: Any) -> None:
    """Refuse a text of several lines with what can't be seen in it; CR LF is a line's end."""
    if isinstance(value, str) and NOT_IN_A_TEXT.search(value.replace("\r\n", "\n")):
        raise ValidationError(UNSEEN, code="invisible")


class InexactDecimal(ValueError):
    """A value that a column could only keep by rounding it."""


def inexact(
    value: Decimal, *, max_digits: int, decimal_places: int, connection: BaseDatabaseWrapper
) -> str | None:
    """Say why a column of this size can't hold `value` exactly, or None if it can.

    SQLite keeps decimals as floats, so there a value of more than 15 significant digits is refused.
    """
    if not value.is_finite():
        return "must be a finite number"
    digits, exponent = value.normalize(Context(prec=10_000)).as_tuple()[1:]
    assert isinstance(exponent, int)
    if digits == (0,):
        return None
    if -exponent > decimal_places:
        return f"has more than {decimal_places} decimal places"
    if len(digits) + exponent > max_digits - decimal_places:
        return f"has more than {max_digits - decimal_places} digits before the decimal point"
    if connection.vendor == "sqlite" and len(digits) > SQLITE_DIGITS:
        return (
            f"has {len(digits)} significant digits; this installation's SQLite database holds "
            f"{SQLITE_DIGITS} exactly (PostgreSQL holds them all)"
        )
    return None


class PlainDecimalInput(forms.DecimalField):
    """A number typed as it is read: digits and a point, no exponent and no grouping."""

    def to_python(self, value: Any) -> Any:
        text = str(value).strip() if value is not None else ""
        if text and not re.fullmatch(r"[-+]?[0-9]*\.?[0-9]+|[-+]?[0-9]+\.", text, re.ASCII):
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(value)


class PlainTextInput(forms.CharField):
    """A text of several lines that is kept: refuses what can't be seen in it, as the API does."""

    default_validators = [validate_text]


class ExactDecimalField(models.DecimalField[Any, Any]):
    """A decimal that is kept exactly or refused: never rounded, never NaN, always bounded.

    :raises InexactDecimal: on saving a value the column can't hold exactly.
    """

    def validate(self, value: Any, model_instance: models.Model | None) -> None:
        super().validate(value, model_instance)
        if value is not None and (reason := self._inexact(value, default_connection)):
            raise ValidationError(f"The number {reason}.", code="inexact")

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        if isinstance(value, Decimal) and (reason := self._inexact(value, connection)):
            raise InexactDecimal(f"{self.model._meta.label}.{self.name} = {value} {reason}")
        return super().get_db_prep_save(value, connection)

    def db_check(self, connection: BaseDatabaseWrapper) -> str:
        """Bound the column on both sides; NaN sorts above every number and so fails too."""
        limit = Decimal(10) ** (self.max_digits - self.decimal_places)
        assert self.column is not None
        column = connection.ops.quote_name(self.column)
        return f"{column} > -{limit} AND {column} < {limit}"

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": PlainDecimalInput, **kwargs})

    def _inexact(self, value: Decimal, connection: BaseDatabaseWrapper) -> str | None:
        return inexact(
            value,
            max_digits=self.max_digits,
            decimal_places=self.decimal_places,
            connection=connection,
        )


class ExactNumberField(models.Field[Any, Any]):
    """A finite decimal of any size, kept exactly on both databases.

    Numeric on PostgreSQL. On SQLite a text, which can't be compared or added up in SQL there.
    """

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "numeric" if connection.vendor == "postgresql" else "text"

    def db_check(self, connection: BaseDatabaseWrapper) -> str | None:
        if connection.vendor != "postgresql":
            return None
        assert self.column is not None
        column = connection.ops.quote_name(self.column)
        return f"{column} > '-Infinity' AND {column} < 'Infinity'"  # NaN sorts above both

    def get_prep_value(self, value: Any) -> Decimal | None:
        return None if value is None else Decimal(value)

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        number = value if prepared else self.get_prep_value(value)
        if number is None or connection.vendor == "postgresql":
            return number
        assert number.is_finite()
        return f"{number:f}"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Decimal | None:
        return None if value is None else Decimal(value)

    def to_python(self, value: Any) -> Decimal | None:
        return None if value is None else Decimal(value)


def amount_field(**kwargs: Any) -> ExactDecimalField:
    """Return a field for money, in the currency of its document: 15 digits and 4 decimals."""
    return ExactDecimalField(max_digits=19, decimal_places=4, **kwargs)


def unit_amount_field(**kwargs: Any) -> ExactDecimalField:
    """Return a field for the price of one unit: 12 digits and 12 decimals."""
    return ExactDecimalField(max_digits=24, decimal_places=12, **kwargs)


def quantity_field(**kwargs: Any) -> ExactDecimalField:
    """Return a field for a quantity: 20 digits and 10 decimals."""
    return ExactDecimalField(max_digits=30, decimal_places=10, **kwargs)


class KeyField(models.CharField[str, str]):
    """The caller's own name for a thing; unique and never changed (a guard in the database)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 255)
        super().__init__(*args, **kwargs)
        self.validators.append(validate_key)


class _ExactTotal(models.DecimalField[Any, Any]):
    """What ExactSum returns; no backend converter squeezes it through a float."""

    def get_internal_type(self) -> str:
        return "ExactTotal"

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        prepared_value = super().get_db_prep_value(value, connection, prepared)
        if connection.vendor == "sqlite" and prepared_value is not None:
            return _sqlite_number(prepared_value)
        return prepared_value

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Decimal | None:
        return None if value is None else _as_decimal(value)


class ExactSum(models.Aggregate):
    """Sum decimals exactly on both databases; None over no rows.

    On SQLite a total of more than 15 significant digits is exact to read, but can't be compared
    or ordered in SQL there.
    """

    function = "SUM"
    allow_distinct = False

    def __init__(self, expression: str | Combinable, **extra: Any) -> None:
        super().__init__(
            expression, output_field=_ExactTotal(max_digits=60, decimal_places=22), **extra
        )

    def as_sqlite(self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        return self.as_sql(compiler, connection, function="exact_sum", **context)


def _as_decimal(value: float | int | str | Decimal) -> Decimal:
    if isinstance(value, float):
        return Context(prec=SQLITE_DIGITS).create_decimal_from_float(value)
    return Decimal(value)


def _sqlite_number(value: Decimal) -> float | str:
    """Return a number that SQLite can compare, or where that would round it, its digits as text."""
    fits = len(value.normalize(Context(prec=100)).as_tuple().digits) <= SQLITE_DIGITS
    return float(value) if fits else f"{value:f}"


class _SQLiteExactSum:
    """The aggregate function `exact_sum` that SQLite connections get."""

    def __init__(self) -> None:
        self.total: Decimal | None = None

    def step(self, value: float | int | str | None) -> None:
        if value is not None:
            add = Context(prec=100).add
            self.total = add(self.total or Decimal(0), _as_decimal(value))

    def finalize(self) -> float | str | None:
        return None if self.total is None else _sqlite_number(self.total)


def _register_exact_sum(*, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    if connection.vendor == "sqlite":
        create: Callable[..., None] = connection.connection.create_aggregate
        create("exact_sum", 1, _SQLiteExactSum)


connection_created.connect(_register_exact_sum, dispatch_uid="exact_sum")
