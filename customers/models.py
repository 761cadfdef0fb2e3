"""Issuers, customers, contacts, subscriptions and their phases."""

import uuid
from datetime import date
from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower

from catalog.clocks import LONGEST_CUTOFF_HOURS, LONGEST_ISSUE_HOURS, within_bounds
from catalog.models import Coupon, PlanVersion
from config.base.constraints import exactly_when, never_negative, one_of
from config.base.fields import ExactDecimalField, KeyField, quantity_field
from customers.periods import Alignment
from customers.querysets import (
    ContactQuerySet,
    PortalSessionQuerySet,
    SignInLinkQuerySet,
    SubscriptionQuerySet,
)

FIRST_NAME = "Your company"  # until somebody says who sells


def _empty(*levels: str) -> Q:
    """Return the condition that an issuer sends no reminders of one of these levels."""
    return Q(*(Q(**{f"{level}_reminder_days__isnull": True}) for level in levels), _connector=Q.OR)


class TaxStatus(models.TextChoices):
    """How a customer is taxed; what is stated here wins over country and VAT ID."""

    AUTOMATIC = "automatic", "Decided by country and VAT ID"
    STANDARD = "standard", "Taxed as at the seller’s"
    REVERSE_CHARGE = "reverse_charge", "Reverse charge: the customer owes the tax"
    EXEMPT = "exempt", "Exempt"
    OUT_OF_SCOPE = "out_of_scope", "Out of scope of tax"


class SellerTaxStatus(models.TextChoices):
    STANDARD = "standard", "Taxed"
    EXEMPT = "exempt", "Exempt"
    OUT_OF_SCOPE = "out_of_scope", "Out of scope of tax"


class PeriodAlignment(models.TextChoices):
    ANNIVERSARY = Alignment.ANNIVERSARY.value, "From the anchor date"
    CALENDAR = Alignment.CALENDAR.value, "On calendar boundaries"


class Consolidation(models.TextChoices):
    """Whether subscriptions whose periods end together share an invoice (R37)."""

    PER_SUBSCRIPTION = "per_subscription", "An invoice for each subscription"
    ONE_INVOICE = "one_invoice", "One invoice for subscriptions billed on the same day"


class Party(models.Model):
    """The legal identity and address that stand on an invoice."""

    legal_name = models.CharField(max_length=200, help_text="The registered name.")
    email = models.EmailField(blank=True, help_text="Where invoices and questions go.")
    vat_id = models.CharField("VAT ID", max_length=20, blank=True)
    line1 = models.CharField("address line 1", max_length=200, blank=True)
    line2 = models.CharField("address line 2", max_length=200, blank=True)
    postal_code = models.CharField(max_length=20, blank=True)
    city = models.CharField(max_length=100, blank=True)
    region = models.CharField(max_length=100, blank=True)
    country = models.CharField(max_length=2, blank=True, help_text="ISO 3166 code, such as DE.")
    time_zone = models.CharField(
        max_length=64, default="UTC", help_text="IANA name, such as Europe/Berlin."
    )
    locale = models.CharField(
        max_length=20, default="en", help_text="Language and number format, such as de-DE."
    )

    class Meta:
        abstract = True


class Logo(models.Model):
    """A seller's logo as it was drawn anew, named by the SHA-256 of its PNG; kept for ever.

    Invoices name it, and are to look the same whenever they are rendered (R28).
    """

    sha256 = models.CharField(max_length=64, primary_key=True)
    png = models.BinaryField()
    width = models.PositiveSmallIntegerField()
    height = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("sha256",)
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.width} × {self.height} pixels"


class Issuer(Party):
    """The legal seller whose invoices these are."""

    name = models.CharField(max_length=200, unique=True, help_text="What customers call you.")
    currency = models.CharField(
        max_length=3, default="EUR", help_text="The currency you keep your books in."
    )
    tax_status = models.CharField(
        max_length=20,
        choices=SellerTaxStatus,
        default=SellerTaxStatus.OUT_OF_SCOPE,
        help_text="Out of scope: no tax on any invoice.",
    )
    standard_tax_rate = ExactDecimalField(
        max_digits=7,
        decimal_places=4,
        default=Decimal(0),
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text="In percent, such as 19. Holds where “Tax rates” has no standard rate of your "
        "country.",
    )
    tax_reason = models.CharField(
        "why no tax is charged",
        max_length=200,
        blank=True,
        help_text="Printed where you are exempt or out of scope, such as the law that says so.",
    )
    uses_oss = models.BooleanField(
        "uses the One-Stop-Shop",
        default=False,
        help_text="Consumers in other EU countries pay their own country’s tax, from “Tax rates”.",
    )
    usage_cutoff_hours = models.PositiveSmallIntegerField(
        "hours to wait for usage",
        default=1,
        validators=[MaxValueValidator(LONGEST_CUTOFF_HOURS)],
        help_text="After a period’s end, until it is closed; a plan or customer may say otherwise.",
    )
    auto_issue_hours = models.PositiveSmallIntegerField(
        "hours until issue",
        default=24,
        validators=[MaxValueValidator(LONGEST_ISSUE_HOURS)],
        help_text="After the close, until the invoice is issued by itself; a plan or customer may say "
        "otherwise.",
    )
    manual_approval = models.BooleanField(
        default=False,
        help_text="Invoices wait for a person instead, where plan and customer don’t say otherwise.",
    )
    accent_colour = models.CharField(
        max_length=7,
        default="#0f5c5c",
        validators=[RegexValidator(r"\A#[0-9a-fA-F]{6}\Z", "Use a colour such as #0f5c5c.")],
        help_text="The one colour of invoices and portal.",
    )
    bank_name = models.CharField(max_length=100, blank=True)
    iban = models.CharField("IBAN", max_length=34, blank=True)
    bic = models.CharField("BIC", max_length=11, blank=True)
    register_entry = models.CharField(
        max_length=200, blank=True, help_text="Court and number, printed in the footer."
    )
    tax_number = models.CharField(
        max_length=30,
        blank=True,
        default="",
        validators=[
            RegexValidator(
                r"\A(?=.*[0-9])[0-9A-Z][0-9A-Z /.-]*\Z",
                "Write it as your tax office does: digits, capital letters, spaces and / . -",
            )
        ],
        help_text="What your tax office knows you by, where that is not the VAT ID, such as "
        "29/015/12345. Printed in the footer.",
    )
    consolidation = models.CharField(
        max_length=20,
        choices=Consolidation,
        default=Consolidation.PER_SUBSCRIPTION,
        help_text="For customers with several subscriptions, unless one says otherwise.",
    )
    logo = models.ForeignKey(
        Logo, on_delete=models.PROTECT, null=True, blank=True, related_name="issuers"
    )
    legal_text = models.TextField(
        blank=True,
        max_length=2000,
        help_text="Printed below the charges, a paragraph per line: terms, retention of title.",
    )
    footer_text = models.CharField(
        max_length=200, blank=True, help_text="One more line at the foot of every page."
    )
    series = models.CharField(
        "number series",
        max_length=6,
        blank=True,
        default="",
        validators=[
            RegexValidator(r"\A[A-Z0-9]*\Z", "Use capital letters and digits, such as EU.")
        ],
        help_text="Stands in invoice numbers: EU gives INV-EU-2026-000001. A new one counts from 1.",
    )
    electronic_invoices = models.BooleanField(
        default=False,
        help_text="The PDF carries the invoice as XML, too, for your customers’ accounting: "
        "Factur-X, also called ZUGFeRD, by EN 16931.",
    )
    refunds_credits = models.BooleanField(
        default=False,
        help_text="What an invoice can’t take off, and was paid already, is paid back when its credit "
        "note is issued by itself. Otherwise it is the customer’s balance.",
    )
    sends_invoices = models.BooleanField(
        "sends invoices by e-mail",
        default=False,
        help_text="And credit notes: from now on, when they are issued, from the e-mail address above; "
        "nothing that was issued before is sent.",
    )
    sends_reminders = models.BooleanField(
        default=False,
        help_text="By e-mail, of what is overdue and not disputed, every day. “Reminders” shows first who "
        "would get one.",
    )
    first_reminder_days = models.PositiveSmallIntegerField(
        "days overdue until the first reminder",
        null=True,
        blank=True,
        default=7,
        validators=[MinValueValidator(1), MaxValueValidator(365)],
        help_text="Friendly. Empty: none of this kind.",
    )
    second_reminder_days = models.PositiveSmallIntegerField(
        "until the second",
        null=True,
        blank=True,
        default=14,
        validators=[MinValueValidator(1), MaxValueValidator(365)],
        help_text="Firm. Empty: none of this kind.",
    )
    third_reminder_days = models.PositiveSmallIntegerField(
        "until the last",
        null=True,
        blank=True,
        default=28,
        validators=[MinValueValidator(1), MaxValueValidator(365)],
        help_text="The last one. Empty: none of this kind.",
    )

    reminds_with_statement = models.BooleanField(
        "attach the account statement to later reminders",
        default=False,
        help_text="To the second and the last, as a PDF of what was billed and paid.",
    )

    class Meta:
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(
                name="issuer_sends_from_an_address",
                condition=Q(sends_invoices=False, sends_reminders=False) | ~Q(email=""),
                violation_error_message="Enter the e-mail address that mails are sent from.",
            ),
            models.CheckConstraint(
                name="issuer_reminds_later_each_time",
                condition=(
                    (
                        _empty("first", "second")
                        | Q(second_reminder_days__gt=F("first_reminder_days"))
                    )
                    & (
                        _empty("second", "third")
                        | Q(third_reminder_days__gt=F("second_reminder_days"))
                    )
                    & (
                        _empty("first", "third")
                        | Q(third_reminder_days__gt=F("first_reminder_days"))
                    )
                ),
                violation_error_message="Each reminder comes later than the one before.",
            ),
            models.CheckConstraint(
                name="issuer_reminds_once_it_is_overdue",
                condition=~Q(first_reminder_days=0)
                & ~Q(second_reminder_days=0)
                & ~Q(third_reminder_days=0),
            ),
            one_of("tax_status", SellerTaxStatus, name="issuer_tax_status_is_known"),
            *within_bounds("issuer"),
            one_of("consolidation", Consolidation, name="issuer_consolidation_is_known"),
            models.CheckConstraint(
                name="issuer_of_electronic_invoices_is_complete",
                condition=Q(electronic_invoices=False)
                | ~Q(legal_name="")
                & ~Q(line1="")
                & ~Q(city="")
                & ~Q(country="")
                & (
                    ~Q(vat_id="")
                    | ~Q(register_entry="") & (Q(tax_status="out_of_scope") | ~Q(tax_number=""))
                ),
                violation_error_message="An electronic invoice names its seller’s registered name, "
                "address, country and VAT ID, or its tax number and register entry.",
            ),
            models.CheckConstraint(
                name="issuer_tax_rate_from_0_to_100_percent",
                condition=Q(standard_tax_rate__gte=0, standard_tax_rate__lte=100),
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def missing(self) -> list[str]:
        """Name what an invoice needs and this issuer still lacks."""
        needed = {
            "legal name": self.legal_name != FIRST_NAME,
            "address": self.line1,
            "city": self.city,
            "country": self.country,
        }
        return [name for name, value in needed.items() if not value]


class Customer(Party):
    """Who uses what we sell."""

    key = KeyField(unique=True, help_text="Your own name for it; events call it “subject”.")
    name = models.CharField(max_length=200, help_text="What you call them.")
    currency = models.CharField(max_length=3, help_text="ISO 4217 code, such as EUR.")
    payment_terms_days = models.PositiveSmallIntegerField(
        default=30,
        validators=[MaxValueValidator(365)],
        help_text="Days from issue until an invoice is due.",
    )
    tax_status = models.CharField(
        max_length=20,
        choices=TaxStatus,
        default=TaxStatus.AUTOMATIC,
        help_text="Anything but “decided” wins over country and VAT ID.",
    )
    tax_reason = models.CharField(
        "why no tax is charged",
        max_length=200,
        blank=True,
        help_text="Printed where they are exempt or out of scope, such as the law that says so.",
    )
    attention = models.CharField(
        max_length=200, blank=True, help_text="Printed below the name, such as “Accounts payable”."
    )
    purchase_order = models.CharField(
        max_length=100, blank=True, help_text="Their order number, printed on every invoice."
    )
    buyer_reference = models.CharField(
        max_length=100,
        blank=True,
        default="",
        help_text="What they ask you to name besides, such as a cost centre or the Leitweg-ID of a "
        "German authority; printed on every invoice.",
    )
    usage_cutoff_hours = models.PositiveSmallIntegerField(
        "hours to wait for usage",
        null=True,
        blank=True,
        validators=[MaxValueValidator(LONGEST_CUTOFF_HOURS)],
        help_text="After a period’s end, until it is closed. Empty: as the plan or the issuer says.",
    )
    auto_issue_hours = models.PositiveSmallIntegerField(
        "hours until issue",
        null=True,
        blank=True,
        validators=[MaxValueValidator(LONGEST_ISSUE_HOURS)],
        help_text="After the close, until the invoice is issued by itself. Empty: as the plan or the issuer says.",
    )
    manual_approval = models.BooleanField(
        null=True,
        blank=True,
        help_text="Whether invoices wait for a person instead. Unknown: as the plan or the issuer says.",
    )
    consolidation = models.CharField(
        max_length=20,
        choices=[("", "As the issuer does it"), *Consolidation.choices],
        blank=True,
        default="",
        help_text="For all subscriptions that they pay for. Empty: as the issuer does it.",
    )
    invoices_by_email = models.BooleanField(
        "gets invoices by e-mail",
        default=True,
        help_text="At the e-mail address above and at contacts who receive invoices, if you send "
        "them; credit notes, too. Without: they get them in another way.",
    )
    segment = models.CharField(
        max_length=100, blank=True, help_text="Your own grouping, such as “start-ups”."
    )
    issuer = models.ForeignKey(
        Issuer,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="customers",
        help_text="Who sells to them. Empty: your only issuer.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name", "id")
        constraints = (
            one_of("tax_status", TaxStatus, name="customer_tax_status_is_known"),
            *within_bounds("customer"),
            one_of(
                "consolidation", Consolidation, name="customer_consolidation_is_known", blank=True
            ),
            models.CheckConstraint(
                name="customer_pays_within_a_year", condition=Q(payment_terms_days__lte=365)
            ),
        )

    def __str__(self) -> str:
        return self.name


class Contact(models.Model):
    """A person at a customer who may read its usage and invoices; never a staff user."""

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="contacts")
    name = models.CharField(max_length=200, blank=True)
    email = models.EmailField()
    receives_invoices = models.BooleanField(
        default=True, help_text="Gets every invoice and credit note by mail."
    )

    objects = ContactQuerySet.as_manager()

    class Meta:
        ordering = ("customer_id", "email")
        constraints = (
            models.UniqueConstraint(
                F("customer"), Lower("email"), name="contact_once_per_customer_and_address"
            ),
        )
        indexes = (models.Index(Lower("email"), name="contact_by_address"),)

    def __str__(self) -> str:
        return self.email


class SignInLink(models.Model):
    """A way into the portal, used once: asked for by mail address, or made by staff.

    Asked for with an address that nobody has, it is the same row without a contact, and leads
    nowhere. Token, code, browser and address are kept as keyed hashes only.
    """

    contact = models.ForeignKey(
        Contact, on_delete=models.CASCADE, null=True, related_name="sign_in_links"
    )
    email = models.EmailField(blank=True, help_text="The contact's when the link was written.")
    token_hash = models.CharField(max_length=64, null=True, unique=True)  # noqa: DJ001 - until the mail is written
    code_hash = models.CharField(max_length=64, blank=True)
    browser_hash = models.CharField(
        max_length=64, blank=True, help_text="Where it was asked for. Empty: made by staff."
    )
    address_hash = models.CharField(max_length=64, blank=True)
    network = models.CharField(max_length=45, blank=True, help_text="Whence it was asked for.")
    created_at = models.DateTimeField(db_index=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    guesses = models.PositiveSmallIntegerField(default=0, help_text="Codes tried with it.")

    objects = SignInLinkQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        default_permissions = ()
        indexes = (models.Index(fields=["browser_hash"], name="sign_in_link_by_browser"),)
        constraints = (
            models.CheckConstraint(
                name="sign_in_link_expires_after_it_is_made",
                condition=Q(expires_at__gt=F("created_at")),
            ),
            models.CheckConstraint(
                name="sign_in_link_leads_to_an_address",
                condition=Q(token_hash=None) | Q(contact__isnull=False) & ~Q(email=""),
            ),
            models.CheckConstraint(
                name="sign_in_link_used_only_once_written",
                condition=Q(used_at=None) | Q(token_hash__isnull=False),
            ),
            exactly_when(
                Q(browser_hash=""),
                Q(address_hash=""),
                name="sign_in_link_asked_for_in_a_browser_by_address",
            ),
        )

    def __str__(self) -> str:
        return f"{self.email or 'nobody'}, {self.created_at:%Y-%m-%d %H:%M}"


class PortalSession(models.Model):
    """A contact who is signed in to the portal in one browser; gone once signed out.

    It holds while the contact keeps the address that it was signed in with.
    """

    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="sessions")
    email = models.EmailField(help_text="The contact's when it signed in.")
    key_hash = models.CharField(max_length=64, unique=True)
    language = models.CharField(
        max_length=2, blank=True, help_text="Chosen in the portal. Empty: the customer's."
    )
    created_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)

    objects = PortalSessionQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.email} since {self.created_at:%Y-%m-%d %H:%M}"


class Subscription(models.Model):
    """A customer's agreement to a plan, from a date until one or for good.

    Its terms over time are its phases; `ends_on` is the first day without service.
    """

    key = KeyField(unique=True, help_text="Your own name for it in the API, such as acme-scale.")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="subscriptions")
    issuer = models.ForeignKey(
        Issuer,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="subscriptions",
        help_text="Who sells. Empty: the customer's issuer.",
    )
    payer = models.ForeignKey(
        Customer,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="paid_subscriptions",
        help_text="Who pays. Empty: the customer.",
    )
    starts_on = models.DateField(help_text="The first day of service.")
    ends_on = models.DateField(
        null=True, blank=True, help_text="The first day without service. Empty: for good."
    )
    zone_changes = models.JSONField(
        null=True,
        blank=True,
        editable=False,
        help_text="By day, the time zone that holds from that boundary on. Empty: its phases’.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        ordering = ("customer_id", "id")
        constraints = (
            models.CheckConstraint(
                name="subscription_ends_after_it_starts",
                condition=Q(ends_on__isnull=True) | Q(ends_on__gt=F("starts_on")),
                violation_error_message="A subscription ends after it starts.",
            ),
        )

    def __str__(self) -> str:
        return self.key


class SubscriptionPhase(models.Model):
    """A stretch of a subscription under one plan version and one calendar.

    Phases touch: each begins where the one before ends, the first where the subscription begins.
    """

    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="phases")
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="phases")
    starts_on = models.DateField(help_text="The first day under these terms.")
    ends_on = models.DateField(
        null=True, blank=True, help_text="The first day no longer under them."
    )
    alignment = models.CharField(
        max_length=12, choices=PeriodAlignment, default=PeriodAlignment.ANNIVERSARY
    )
    anchor_on = models.DateField(
        null=True,
        blank=True,
        help_text="Periods are counted from this date. Empty: from the start.",
    )
    time_zone = models.CharField(
        max_length=64, help_text="Where its days begin, unless the subscription’s changed since."
    )
    is_paused = models.BooleanField(
        default=False, help_text="No service: no fee, and usage is not billed."
    )

    class Meta:
        ordering = ("subscription_id", "starts_on")
        constraints = (
            one_of("alignment", PeriodAlignment, name="phase_alignment_is_known"),
            models.CheckConstraint(
                name="phase_ends_after_it_starts",
                condition=Q(ends_on__isnull=True) | Q(ends_on__gt=F("starts_on")),
            ),
            models.CheckConstraint(
                name="phase_on_calendar_has_no_anchor",
                condition=Q(alignment="anniversary") | Q(anchor_on__isnull=True),
                violation_error_message="Calendar periods have no anchor date.",
            ),
            models.UniqueConstraint(
                fields=["subscription", "starts_on"], name="phase_start_once_per_subscription"
            ),
            models.UniqueConstraint(
                fields=["subscription"],
                condition=Q(ends_on__isnull=True),
                name="phase_open_once_per_subscription",
            ),
        )

    def __str__(self) -> str:
        return f"{self.subscription} from {self.starts_on}"


class SubscriptionQuantity(models.Model):
    """How many of a price without a metric, such as seats, from a day on (R13)."""

    subscription = models.ForeignKey(
        Subscription, on_delete=models.CASCADE, related_name="quantities"
    )
    price_key = KeyField(help_text="The key of the price, such as seats.")
    starts_on = models.DateField(help_text="The first day with this quantity.")
    quantity = quantity_field(validators=[MinValueValidator(0)])

    class Meta:
        verbose_name_plural = "subscription quantities"
        ordering = ("subscription_id", "price_key", "starts_on")
        constraints = (
            models.UniqueConstraint(
                fields=["subscription", "price_key", "starts_on"],
                name="quantity_once_per_subscription_price_and_day",
            ),
            never_negative("quantity", name="quantity_never_negative"),
        )

    def __str__(self) -> str:
        return f"{self.quantity} {self.price_key}"


class PriceOverride(models.Model):
    """A customer's own terms for one price of its plan, from a day on and until one (R22).

    It binds to the price's key. It holds for every period that begins while it is in force;
    `terms` is what differs, as `catalog.overrides` reads it.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    subscription = models.ForeignKey(
        Subscription, on_delete=models.CASCADE, related_name="overrides"
    )
    price_key = KeyField(help_text="The key of the price, such as calls.")
    starts_on = models.DateField(help_text="Periods that begin on this day or later have it.")
    ends_on = models.DateField(
        null=True, blank=True, help_text="Periods that begin on this day or later don't."
    )
    terms = models.JSONField(help_text="What differs from the plan's price.")
    reason = models.TextField(help_text="Why, for whoever asks later.")
    agreed_by = models.CharField(max_length=255)
    agreed_at = models.DateTimeField()

    class Meta:
        ordering = ("subscription_id", "price_key", "starts_on", "id")
        constraints = (
            models.CheckConstraint(
                name="override_ends_after_it_starts",
                condition=Q(ends_on__isnull=True) | Q(ends_on__gt=F("starts_on")),
                violation_error_message="It ends after it starts.",
            ),
            models.UniqueConstraint(
                fields=["subscription", "price_key"],
                condition=Q(ends_on__isnull=True),
                name="override_open_once_per_price",
            ),
            models.CheckConstraint(name="override_has_a_reason", condition=~Q(reason="")),
        )

    def __str__(self) -> str:
        return f"{self.price_key} of {self.subscription} from {self.starts_on}"

    def holds_on(self, day: date) -> bool:
        """Say whether a period that begins on this day has these terms."""
        return self.starts_on <= day and (self.ends_on is None or day < self.ends_on)


class AppliedCoupon(models.Model):
    """A coupon that a subscription was given, from a day on (R22a).

    It reduces the invoices of periods that end, or are billed in advance, on that day or later,
    and before `ends_on`; how much of it is left is told by those invoices alone.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, related_name="applied_coupons"
    )
    coupon = models.ForeignKey(Coupon, on_delete=models.PROTECT, related_name="applied")
    starts_on = models.DateField(help_text="Invoices of this day or later are reduced.")
    ends_on = models.DateField(
        null=True, blank=True, help_text="Invoices of this day or later no longer are."
    )
    applied_by = models.CharField(max_length=255)
    applied_at = models.DateTimeField()

    class Meta:
        ordering = ("subscription_id", "starts_on", "id")
        constraints = (
            models.CheckConstraint(
                name="applied_coupon_ends_not_before_it_starts",
                condition=Q(ends_on__isnull=True) | Q(ends_on__gte=F("starts_on")),
                violation_error_message="It ends on its first day or later.",
            ),
            models.UniqueConstraint(
                fields=["subscription", "coupon"],
                condition=Q(ends_on__isnull=True),
                name="applied_coupon_running_once_per_subscription",
            ),
        )

    def __str__(self) -> str:
        return f"{self.coupon} for {self.subscription} from {self.starts_on}"

    def holds_on(self, day: date) -> bool:
        """Say whether it reduces an invoice of this day."""
        return self.starts_on <= day and (self.ends_on is None or day < self.ends_on)
