"""Billing's guards: issued means frozen, snapshots and documents are written once (R28)."""

from django.db.models import GeneratedField, Model

from billing.models import (
    Allocation,
    Delivery,
    Dispute,
    Invoice,
    OpenItem,
    Payment,
    Refund,
    ReminderStop,
    SoldAddOn,
    WriteOff,
)
from config.base.guards import Consequence, Event, Guard, append_only, immutable

_WRITES: tuple[Event, ...] = ("INSERT", "UPDATE")
_MAY_CHANGE_AFTER_ISSUE = {"status", "voided_at", "reason"}
_FROZEN = [
    field.column
    for field in Invoice._meta.concrete_fields
    if field.column and field.name not in _MAY_CHANGE_AFTER_ISSUE
]


_SOLD = [str(SoldAddOn._meta.get_field(name).column) for name in SoldAddOn.TERMS]  # type: ignore[union-attr]


_PRICED = "COALESCE(l.gross, l.net)"


def _issued(invoice_id: str) -> str:
    return (
        "EXISTS (SELECT 1 FROM billing_invoice i "
        f"WHERE i.id = {invoice_id} AND i.status NOT IN ('draft', 'review'))"
    )


def _frozen_with_its_invoice(what: str, table: str) -> list[Guard]:
    conditions: dict[Event, str] = {
        "INSERT": _issued("NEW.invoice_id"),
        "UPDATE": f"{_issued('OLD.invoice_id')} OR {_issued('NEW.invoice_id')}",
        "DELETE": _issued("OLD.invoice_id"),
    }
    return [
        Guard(f"{what}_{event.lower()}_only_in_a_draft_invoice", table, event, condition)
        for event, condition in conditions.items()
    ]


def _but(model: type[Model], *changing: str) -> str:
    """Return the condition that a column other than these is about to change."""
    fields = [one for one in model._meta.concrete_fields if not isinstance(one, GeneratedField)]
    return immutable(*(str(one.column) for one in fields if one.name not in changing))


def _taken_back_once(what: str, model: type[Model], *also: str) -> list[Guard]:
    """Return the guards of a row that can be reversed, once, and never edited or deleted."""
    table, marks = model._meta.db_table, ("reversed_on", "reversed_because")
    return [
        Guard(
            f"{what}_changes_only_by_being_reversed", table, "UPDATE", _but(model, *marks, *also)
        ),
        Guard(f"{what}_is_reversed_for_good", table, "UPDATE", "OLD.reversed_on IS NOT NULL"),
        Guard(f"{what}_is_never_deleted", table, "DELETE", "TRUE"),
    ]


MONEY = [
    Guard(
        "open_item_changes_only_as_it_is_settled",
        "billing_openitem",
        "UPDATE",
        f"OLD.voided_on IS NOT NULL OR {_but(OpenItem, 'credited', 'paid', 'written_off', 'voided_on')}",
    ),
    Guard("open_item_is_never_deleted", "billing_openitem", "DELETE", "TRUE"),
    Guard(
        "open_item_is_of_an_issued_invoice",
        "billing_openitem",
        "INSERT",
        "NOT EXISTS (SELECT 1 FROM billing_invoice i WHERE i.id = NEW.invoice_id "
        "AND i.status = 'issued' AND i.total = NEW.total)",
    ),
    Guard(
        "invoice_credited_only_if_all_of_it_is",
        "billing_invoice",
        "UPDATE",
        "NEW.status = 'credited' AND OLD.status = 'issued' AND NOT EXISTS (SELECT 1 FROM "
        "billing_openitem o WHERE o.invoice_id = NEW.id AND o.credited = o.total)",
    ),
    Guard(
        "invoice_void_only_if_nothing_settles_it",
        "billing_invoice",
        "UPDATE",
        "NEW.status = 'void' AND OLD.status = 'issued' AND EXISTS (SELECT 1 FROM billing_openitem o "
        "WHERE o.invoice_id = NEW.id AND o.voided_on IS NULL)",
    ),
    *_taken_back_once("payment", Payment, "allocated", "refunded"),
    Guard(
        "allocation_pays_what_its_payer_owes",
        "billing_allocation",
        "INSERT",
        "NOT EXISTS (SELECT 1 FROM billing_payment p JOIN billing_invoice i "
        "ON i.customer_id = p.customer_id AND i.currency = p.currency "
        "WHERE p.id = NEW.payment_id AND i.id = NEW.item_id AND i.status = 'issued')",
    ),
    Guard(
        "allocation_changes_only_by_release",
        "billing_allocation",
        "UPDATE",
        f"OLD.released_on IS NOT NULL OR {_but(Allocation, 'released_on')}",
    ),
    Guard("allocation_is_never_deleted", "billing_allocation", "DELETE", "TRUE"),
    *_taken_back_once("refund", Refund),
    *_taken_back_once("write_off", WriteOff),
]

_ASKED = [str(Delivery._meta.get_field(name).column) for name in Delivery.ASKED]  # type: ignore[union-attr]
_SENDING = [
    Guard("delivery_asks_for_the_same_for_ever", "billing_delivery", "UPDATE", immutable(*_ASKED)),
    Guard(
        "delivery_changes_only_until_it_is_settled",
        "billing_delivery",
        "UPDATE",
        f"OLD.settled_at IS NOT NULL AND ({_but(Delivery, 'answer')})",
    ),
    Guard("delivery_is_never_deleted", "billing_delivery", "DELETE", "TRUE"),
    Guard(
        "delivery_is_to_who_owes_an_issued_invoice",
        "billing_delivery",
        "INSERT",
        "NEW.invoice_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM billing_invoice i WHERE "
        "i.id = NEW.invoice_id AND i.customer_id = NEW.customer_id AND i.status = 'issued')",
    ),
    Guard(
        "delivery_is_to_who_is_credited",
        "billing_delivery",
        "INSERT",
        "NEW.note_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM billing_creditnote n "
        "JOIN billing_invoice i ON i.id = n.invoice_id "
        "WHERE n.id = NEW.note_id AND i.customer_id = NEW.customer_id)",
    ),
    Guard(
        "invoice_void_only_if_never_sent",
        "billing_invoice",
        "UPDATE",
        "NEW.status = 'void' AND OLD.status = 'issued' AND EXISTS (SELECT 1 FROM billing_delivery d "
        "WHERE d.invoice_id = NEW.id AND d.begun_at IS NOT NULL)",
    ),
]

_REMINDING = [
    Guard(
        "dispute_is_of_what_is_owed",
        "billing_dispute",
        "INSERT",
        "NOT EXISTS (SELECT 1 FROM billing_openitem o WHERE o.invoice_id = NEW.item_id "
        "AND o.voided_on IS NULL AND o.total >= NEW.amount)",
    ),
    Guard(
        "dispute_changes_only_by_being_closed",
        "billing_dispute",
        "UPDATE",
        f"OLD.closed_on IS NOT NULL OR {_but(Dispute, *Dispute.CLOSING)}",
    ),
    Guard("dispute_is_never_deleted", "billing_dispute", "DELETE", "TRUE"),
    *append_only("billing_reminder", name="reminder"),
    *append_only("billing_reminderrow", name="reminder_row"),
    Guard(
        "reminder_row_is_of_its_customer",
        "billing_reminderrow",
        "INSERT",
        "NOT EXISTS (SELECT 1 FROM billing_reminder r JOIN billing_invoice i "
        "ON i.customer_id = r.customer_id AND i.issuer_id = r.issuer_id AND i.currency = r.currency "
        "WHERE r.id = NEW.reminder_id AND i.id = NEW.item_id AND i.status = 'issued')",
    ),
    Guard(
        "reminder_stop_changes_only_by_being_ended",
        "billing_reminderstop",
        "UPDATE",
        f"OLD.ended_at IS NOT NULL OR {_but(ReminderStop, *ReminderStop.ENDING)}",
    ),
    Guard("reminder_stop_is_never_deleted", "billing_reminderstop", "DELETE", "TRUE"),
]

CREDITS = [
    Guard(
        "credit_note_corrects_an_issued_invoice",
        "billing_creditnote",
        "INSERT",
        "NOT EXISTS (SELECT 1 FROM billing_invoice i WHERE i.id = NEW.invoice_id "
        "AND i.status = 'issued' AND i.issuer_id = NEW.issuer_id AND i.issue_date <= NEW.issue_date)",
    ),
    Guard(
        "credit_notes_never_beyond_their_invoice",
        "billing_creditnote",
        "INSERT",
        "(SELECT ROUND(COALESCE(SUM(c.total), 0) + NEW.total, 4) FROM billing_creditnote c "
        "WHERE c.invoice_id = NEW.invoice_id) > (SELECT i.total FROM billing_invoice i "
        "WHERE i.id = NEW.invoice_id)",
    ),
    Guard(
        "credit_line_is_one_of_its_notes_invoice",
        "billing_creditnoteline",
        "INSERT",
        "NOT EXISTS (SELECT 1 FROM billing_creditnote n JOIN billing_invoiceline l "
        "ON l.invoice_id = n.invoice_id WHERE n.id = NEW.note_id AND l.id = NEW.line_id "
        "AND NEW.position BETWEEN 1 AND n.line_count AND (NEW.gross IS NULL) = (l.gross IS NULL) "
        f"AND (NEW.creditable BETWEEN 0 AND {_PRICED} OR NEW.creditable BETWEEN {_PRICED} AND 0))",
    ),
    Guard(
        "credit_line_tells_what_was_credited_before",
        "billing_creditnoteline",
        "INSERT",
        "ROUND(NEW.credited_before, 4) <> "
        "(SELECT ROUND(COALESCE(SUM(COALESCE(c.gross, c.net)), 0), 4) "
        "FROM billing_creditnoteline c WHERE c.line_id = NEW.line_id)",
    ),
    Guard(
        "credit_line_never_of_more_units_than_its_line",
        "billing_creditnoteline",
        "INSERT",
        "NEW.quantity IS NOT NULL AND (SELECT ROUND(COALESCE(SUM(c.quantity), 0) + NEW.quantity, 10) "
        "FROM billing_creditnoteline c WHERE c.line_id = NEW.line_id) > "
        "(SELECT l.quantity FROM billing_invoiceline l WHERE l.id = NEW.line_id)",
    ),
    Guard(
        "credit_tax_is_one_of_its_note",
        "billing_creditnotetax",
        "INSERT",
        "NEW.position NOT BETWEEN 1 AND "
        "(SELECT n.tax_count FROM billing_creditnote n WHERE n.id = NEW.note_id)",
    ),
    Guard(
        "credit_line_settles_a_credit_that_left_its_notes_invoice",
        "billing_creditnoteline",
        "INSERT",
        "NEW.settles_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM billing_creditnote n "
        "JOIN billing_invoiceline l ON l.invoice_id = n.issued_with_id "
        "WHERE n.id = NEW.note_id AND l.id = NEW.settles_id AND l.leaves)",
    ),
    Guard(
        "invoice_settled_only_if_it_charges_nothing",
        "billing_invoice",
        "UPDATE",
        "NEW.status = 'settled' AND OLD.status <> 'settled' AND EXISTS (SELECT 1 "
        "FROM billing_invoiceline l WHERE l.invoice_id = NEW.id AND NOT l.leaves)",
    ),
    *append_only("billing_creditnote", name="credit_note"),
    *append_only("billing_creditnoteline", name="credit_line"),
    *append_only("billing_creditnotetax", name="credit_tax"),
    *append_only("billing_creditnotedocument", name="credit_document"),
]

_OVERLAP = (
    "EXISTS (SELECT 1 FROM billing_taxrate r WHERE {other} AND r.country = NEW.country "
    "AND r.category = NEW.category "
    "AND (r.valid_until IS NULL OR r.valid_until >= NEW.valid_from) "
    "AND (NEW.valid_until IS NULL OR NEW.valid_until >= r.valid_from))"
)


_OTHERS: dict[Event, str] = {"INSERT": "TRUE", "UPDATE": "r.id <> OLD.id"}

WAITS = [
    Consequence(
        f"tax_rate_{event.lower()}_is_one_at_a_time",
        "billing_taxrate",
        event,
        postgresql="PERFORM pg_advisory_xact_lock(7262839)",
        sqlite="SELECT 1",
    )
    for event in _OTHERS
]
"""Who writes a rate waits for who does already: PostgreSQL fires these before the guards, by name."""

GUARDS = [
    *MONEY,
    *_SENDING,
    *_REMINDING,
    *CREDITS,
    *(
        Guard(
            f"tax_rate_{event.lower()}_overlaps_no_other",
            "billing_taxrate",
            event,
            _OVERLAP.format(other=other),
        )
        for event, other in _OTHERS.items()
    ),
    Guard(
        "invoice_frozen_once_issued",
        "billing_invoice",
        "UPDATE",
        f"OLD.status IN ('issued', 'void', 'credited') AND ({immutable(*_FROZEN)})",
    ),
    Guard(
        "invoice_status_moves_forward",
        "billing_invoice",
        "UPDATE",
        "NEW.status <> OLD.status AND NOT ("
        "(OLD.status IN ('draft', 'review') AND NEW.status NOT IN ('void', 'credited')) "
        "OR (OLD.status = 'issued' AND NEW.status IN ('void', 'credited')))",
    ),
    Guard("invoice_begins_unissued", "billing_invoice", "INSERT", "NEW.status <> 'draft'"),
    Guard("invoice_is_never_deleted", "billing_invoice", "DELETE", "TRUE"),
    Guard(
        "sequence_never_counts_back",
        "billing_documentsequence",
        "UPDATE",
        "NEW.next_number < OLD.next_number OR "
        "NEW.last_issue_date IS NOT NULL AND NEW.last_issue_date < OLD.last_issue_date OR "
        + immutable("issuer_id", "kind", "series", "year"),
    ),
    Guard("sequence_is_never_deleted", "billing_documentsequence", "DELETE", "TRUE"),
    Guard(
        "period_dates_frozen_once_closed",
        "billing_billingperiod",
        "UPDATE",
        f"OLD.status <> 'open' AND ({immutable('start_date', 'end_date', 'starts_at', 'ends_at')})",
    ),
    Guard(
        "phase_terms_frozen_once_billed",
        "customers_subscriptionphase",
        "UPDATE",
        f"({immutable('plan_version_id', 'alignment', 'anchor_on', 'is_paused')}) AND EXISTS (SELECT 1 "
        "FROM billing_billingperiod p WHERE p.phase_id = OLD.id AND p.status <> 'open')",
    ),
    Guard(
        "period_starts_where_the_one_before_ends",
        "billing_billingperiod",
        "INSERT",
        "NEW.number > 0 AND NOT EXISTS (SELECT 1 FROM billing_billingperiod p "
        "WHERE p.subscription_id = NEW.subscription_id AND p.number = NEW.number - 1 "
        "AND p.ends_at = NEW.starts_at)",
    ),
    *_frozen_with_its_invoice("line", "billing_invoiceline"),
    *_frozen_with_its_invoice("allowance", "billing_invoiceallowance"),
    *_frozen_with_its_invoice("tax", "billing_taxsubtotal"),
    Guard("sold_add_on_terms_never_change", "billing_soldaddon", "UPDATE", immutable(*_SOLD)),
    Guard("sold_add_on_is_never_deleted", "billing_soldaddon", "DELETE", "TRUE"),
    Guard(
        "sold_add_on_stays_on_its_issued_invoice",
        "billing_soldaddon",
        "UPDATE",
        f"({immutable('invoice_id')}) AND EXISTS (SELECT 1 FROM billing_invoice i "
        "WHERE i.id = OLD.invoice_id AND i.status = 'issued')",
    ),
    *(
        Guard(
            f"line_{event.lower()}_only_of_an_add_on_that_is_its_invoices",
            "billing_invoiceline",
            event,
            "NEW.sold_add_on_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM billing_soldaddon s "
            "WHERE s.id = NEW.sold_add_on_id AND s.invoice_id = NEW.invoice_id)",
        )
        for event in _WRITES
    ),
    Guard("move_row_is_final_once_moved", "billing_planmoverow", "UPDATE", "OLD.outcome = 'moved'"),
    *append_only("billing_usagesnapshot", name="snapshot"),
    *append_only("billing_invoicedocument", name="document"),
    *append_only("billing_invoiceannex", name="annex"),
]
