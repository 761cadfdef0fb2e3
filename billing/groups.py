"""What each role may do with periods, runs, invoices and payments."""

from config.base.groups import DEVELOPER, FINANCE, FINANCE_LEAD, SUPPORT, Grants, may

_EVERYTHING = (
    "billingrun billingperiod usagesnapshot periodcharge "
    "invoice invoiceline soldaddon taxsubtotal invoicedocument invoiceannex documentsequence "
    "creditnote creditnoteline creditnotetax creditnotedocument "
    "lateusage planmove planmoverow openitem payment allocation refund writeoff bankimport delivery "
    "dispute reminder reminderrow reminderstop "
    "taxrate exchangerate "
    "closeestimate estimatedbill estimatedusage look draftoddity invoicebatch invoicebatchrow"
)
_DAILY = [
    *may("view", _EVERYTHING),
    *may("hold recalculate discard send", "invoice"),
    "answer_delivery",
    *may("add close", "dispute"),
    "send_reminder",
    *may("add change", "reminderstop"),
    *may("add change", "soldaddon"),
    *may("add", "billingrun closeestimate"),
    "retry_billingperiod",
    "bill_lateusage",
    *may("add change", "taxrate exchangerate"),
    *may("add confirm", "planmove"),
    *may("add allocate", "payment"),
    "add_bankimport",
]

GRANTS: Grants = {
    FINANCE: _DAILY,
    FINANCE_LEAD: [
        *_DAILY,
        *may("issue void waive", "invoice"),
        "backdate_billingrun",
        "write_off_lateusage",
        *may("reverse refund", "payment"),
        *may("add reverse", "writeoff"),
        "add_creditnote",
        *may("delete", "taxrate exchangerate"),
    ],
    SUPPORT: may("view", _EVERYTHING),
    DEVELOPER: may("view", "billingrun billingperiod usagesnapshot"),
}
