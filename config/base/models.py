"""What every app leaves behind: who changed what, who may call, what was answered, what to send."""

from django.db import models
from django.db.models import Q

from config.base.constraints import exactly_when, one_of


class ActorKind(models.TextChoices):
    USER = "user", "Person"
    API_KEY = "api_key", "API key"
    SYSTEM = "system", "Plainbill itself"


class OutboxStatus(models.TextChoices):
    PENDING = "pending", "Waiting"
    DONE = "done", "Done"
    FAILED = "failed", "Given up"


class AuditEntry(models.Model):
    """One change, by whom and when; written in the transaction of the change, never altered."""

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor_kind = models.CharField(max_length=10, choices=ActorKind)
    actor_name = models.CharField(max_length=255)
    action = models.CharField(
        max_length=50, help_text="What was done, as a verb: created, published."
    )
    subject_type = models.CharField(max_length=100, help_text="What it was done to: catalog.plan.")
    subject_id = models.BigIntegerField()
    subject_name = models.CharField(max_length=255)
    changes = models.JSONField(default=dict, help_text="Field: [before, after].")
    note = models.TextField(blank=True)

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit trail"
        ordering = ("-id",)
        indexes = (models.Index(fields=["subject_type", "subject_id"], name="audit_by_subject"),)
        constraints = (one_of("actor_kind", ActorKind, name="audit_actor_kind_is_known"),)

    def __str__(self) -> str:
        return f"{self.actor_name} {self.action} {self.subject_name}"


class ApiKey(models.Model):
    """A credential for the REST API: a public prefix and the hash of a secret shown once."""

    name = models.CharField(
        max_length=100, help_text="Who or what uses the key, such as “gateway”."
    )
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    secret_hash = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=list, help_text="What the key may do.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: it never expires.")
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "API key"
        ordering = ("name", "id")

    def __str__(self) -> str:
        return self.name


class IdempotencyKey(models.Model):
    """What was answered to a POST under the caller's Idempotency-Key, kept for 24 hours.

    A row without a status is a claim: the work is still running, or died while running.
    """

    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE)
    route = models.CharField(max_length=1000, help_text="The path that was posted to.")
    key = models.CharField(max_length=255)
    body_hash = models.CharField(max_length=64)
    claimed_at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(null=True)
    body = models.BinaryField(null=True)
    content_type = models.CharField(max_length=100, blank=True)

    class Meta:
        indexes = (models.Index(fields=["claimed_at"], name="idempotency_key_by_age"),)
        constraints = (
            models.UniqueConstraint(
                fields=["api_key", "route", "key"], name="idempotency_key_once_per_caller_and_route"
            ),
            exactly_when(
                Q(status__isnull=True),
                Q(body__isnull=True),
                name="idempotency_key_answered_with_status_and_body",
            ),
        )

    def __str__(self) -> str:
        return f"{self.key} on {self.route}"


class Outbox(models.Model):
    """Something to do after a commit; written in the transaction of its cause, done at least once."""

    kind = models.CharField(max_length=50)
    key = models.CharField(max_length=255, help_text="What makes the message one of its kind.")
    payload = models.JSONField(default=dict)
    status = models.CharField(max_length=10, choices=OutboxStatus, default=OutboxStatus.PENDING)
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True)

    class Meta:
        verbose_name = "outbox message"
        ordering = ("id",)
        indexes = (
            models.Index(
                fields=["due_at"], name="outbox_pending_by_due", condition=Q(status="pending")
            ),
            models.Index(fields=["status"], name="outbox_given_up", condition=Q(status="failed")),
        )
        constraints = (
            models.UniqueConstraint(
                fields=["kind", "key"], name="outbox_message_once_per_kind_and_key"
            ),
            one_of("status", OutboxStatus, name="outbox_status_is_known"),
            exactly_when(
                Q(status="done"), Q(done_at__isnull=False), name="outbox_done_exactly_when_dated"
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"
