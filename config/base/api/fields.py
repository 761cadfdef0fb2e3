"""Fields of bodies: exact decimals, the callers' keys, clean texts, plain dates.

Each takes exactly the spelling it documents, so that no two readers understand it differently.
"""

import re
from datetime import date, datetime
from decimal import Context, Decimal
from typing import Any, ClassVar, NoReturn

from django.db import connection
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.base.fields import NOT_IN_A_LINE, NOT_IN_A_TEXT, UNSEEN, inexact, validate_key

_DATE = re.compile(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_INSTANT = re.compile(
    r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})\Z"
)
_YEARS = range(1970, 3000)


def plain(value: Decimal, *, keep_zeros: bool = False) -> str:
    """Return a decimal as digits, without exponent; trailing zeros are cut unless kept."""
    value = value or abs(value)  # no -0
    if not keep_zeros:
        value = value.normalize(Context(prec=200))
    return f"{value:f}"


class DecimalString(serializers.Field[Decimal, Any, str, Any]):
    """An exact decimal: a string such as "0.0015", or a JSON number; always a string in answers.

    `minimum` is inclusive and 0 unless given (None: any); `positive` refuses 0 as well.
    `keep_zeros` leaves the zeros at the end of answers: "0.00".
    """

    integer_digits: ClassVar[int]
    decimal_places: ClassVar[int]
    default_error_messages = {
        "invalid": 'Write a plain decimal number, such as "12.50".',
        "too_long": "Use at most {integer} digits before the decimal point and {decimals} after.",
        "inexact": "The number {reason}.",
        "too_small": "The number must be at least {minimum}.",
        "not_positive": "The number must be more than 0.",
    }

    def __init__(
        self,
        *,
        minimum: int | Decimal | None = 0,
        positive: bool = False,
        keep_zeros: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.minimum, self.positive, self.keep_zeros = minimum, positive, keep_zeros

    @property
    def pattern(self) -> str:
        """The regular expression that every value matches."""
        sign = "-?" if self.minimum is None or self.minimum < 0 else ""
        digits = rf"[0-9]{{1,{self.integer_digits}}}(\.[0-9]{{1,{self.decimal_places}}})?"
        return f"^{sign}{digits}$"

    def to_internal_value(self, data: Any) -> Decimal:
        text = self._text(data)
        value = Decimal(text)
        if getattr(self.root, "stores", True) and (reason := self._inexact(value)):
            self.fail("inexact", reason=reason)
        if self.positive and value <= 0:
            self.fail("not_positive")
        if self.minimum is not None and value < self.minimum:
            self.fail("too_small", minimum=self.minimum)
        return value or abs(value)  # no -0

    def to_representation(self, value: Decimal) -> str:
        return plain(value, keep_zeros=self.keep_zeros)

    def _inexact(self, value: Decimal) -> str | None:
        """Say why the database could not keep the value as it is."""
        return inexact(
            value,
            max_digits=self.integer_digits + self.decimal_places,
            decimal_places=self.decimal_places,
            connection=connection,
        )

    def _text(self, data: Any) -> str:
        """Return the digits of a string or number, which stay within this field's size."""
        longest = self.integer_digits + self.decimal_places + 2
        if isinstance(data, int) and not isinstance(data, bool):
            # Below this many bits every number has more digits than allowed; str() would be slow.
            text = str(data) if data.bit_length() < 400 else "9" * (longest + 1)
        elif isinstance(data, Decimal) and data.is_finite() and int(data.as_tuple().exponent) <= 0:
            text = f"{data:f}" if abs(data.adjusted()) < longest else "9" * (longest + 1)
        elif isinstance(data, str):
            text = data
        else:
            self.fail("invalid")
        if len(text) > longest:
            self._fail_length()
        if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text, re.ASCII):
            self.fail("invalid")
        whole, _, fraction = text.lstrip("-").partition(".")
        if len(whole) > self.integer_digits or len(fraction) > self.decimal_places:
            self._fail_length()
        return text

    def _fail_length(self) -> NoReturn:
        self.fail("too_long", integer=self.integer_digits, decimals=self.decimal_places)


class QuantityString(DecimalString):
    """A quantity: at most 20 digits and 10 decimals."""

    integer_digits = 20
    decimal_places = 10


class UnitAmountString(DecimalString):
    """The price of one unit: at most 12 digits and 12 decimals."""

    integer_digits = 12
    decimal_places = 12


class AmountString(DecimalString):
    """Money: at most 15 digits and 4 decimals."""

    integer_digits = 15
    decimal_places = 4


class Text(serializers.CharField):
    """A text of at most `max_length` characters; one line, unless `lines`.

    Refuses what can't be seen and changes how the rest reads: controls and bidi overrides.
    """

    default_error_messages = {
        "invalid": "Write a text in quotes.",
        "invisible": UNSEEN,
    }

    def __init__(self, *, max_length: int, lines: bool = False, **kwargs: Any) -> None:
        super().__init__(max_length=max_length, **kwargs)
        self.unwanted = NOT_IN_A_TEXT if lines else NOT_IN_A_LINE

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if isinstance(data, str) and self.unwanted.search(data):
            self.fail("invisible")
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class KeyString(serializers.CharField):
    """The caller's own key: 1 to 255 printable ASCII characters without space, `/`, `?`, `#`."""

    default_error_messages = {"invalid": "Write a text in quotes."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)
        self.validators.append(validate_key)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return data


@extend_schema_field({"type": "integer"})
class WholeNumber(serializers.IntegerField):
    """A whole number; in a query, its digits."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, str) and getattr(self.root, "reads_text", False):
            if not re.fullmatch(r"-?[0-9]{1,18}", data, re.ASCII):
                self.fail("invalid")
            return int(data)
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return data


class YesNo(serializers.BooleanField):
    """`true` or `false`, and in a query the same words; nothing else."""

    def to_internal_value(self, data: Any) -> bool:
        if isinstance(data, str) and getattr(self.root, "reads_text", False):
            data = {"true": True, "false": False}.get(data)
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class CalendarDate(serializers.DateField):
    """A date, `2026-11-01`, from 1970 to 2999."""

    default_error_messages = {"invalid": "A date is written such as 2026-11-01, from 1970 to 2999."}

    def to_internal_value(self, value: Any) -> date:
        if not isinstance(value, str) or not _DATE.match(value) or int(value[:4]) not in _YEARS:
            self.fail("invalid")
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail("invalid")


class Instant(serializers.DateTimeField):
    """An RFC 3339 time with its offset, `2026-11-01T12:00:00Z`, from 1970 to 2999."""

    default_error_messages = {
        "invalid": "A time is written with its offset, such as 2026-11-01T12:00:00Z, from 1970 to 2999."
    }

    def to_internal_value(self, value: Any) -> datetime:
        if not isinstance(value, str) or not _INSTANT.match(value) or int(value[:4]) not in _YEARS:
            self.fail("invalid")
        head, fraction, offset = re.fullmatch(  # type: ignore[union-attr]
            r"(.{19})(\.[0-9]+)?(.+)", value.upper()
        ).groups()
        try:
            return datetime.fromisoformat(f"{head}{(fraction or '.0')[:7]}{offset}")
        except ValueError:
            self.fail("invalid")
