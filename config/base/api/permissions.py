"""What a key may do: the scope that the view declares, or nothing."""

from typing import Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from config.base.api.authentication import lacking
from config.base.services.api_keys import SCOPES


class HasScope(BasePermission):
    """Let the key pass if it has the scope of the view; a view without one lets nobody pass.

    A view says `scope = "catalog"`: safe methods need catalog:read, others catalog:write (which
    does not include the former). `action_scopes = {"calculate": "catalog:read"}` says otherwise
    for an action of a viewset or a method of a view. `public = True` needs no key at all.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if getattr(view, "public", False):
            return True
        key: Any = request.auth
        if key is None:
            return False
        needed = required_scope(view, request.method or "")
        if needed is None:
            raise PermissionDenied("No key may call this.")
        if needed not in key.scopes:
            raise PermissionDenied(lacking(needed))
        return True


def required_scope(view: Any, method: str) -> str | None:
    """Return the scope that calling `view` needs, or None if it declares none."""
    scopes: dict[str, str] = getattr(view, "action_scopes", {})
    action = getattr(view, "action", None) or method.lower()
    area = getattr(view, "scope", None)
    usual = f"{area}:{'read' if method in SAFE_METHODS else 'write'}" if area else None
    needed = scopes.get(action, usual)
    return needed if needed in SCOPES else None
