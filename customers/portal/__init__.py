"""The portal's door: signing in, the session, and the frame around every page.

What a signed-in contact reads is billing's; its views are wrapped in `signed_in` and answer with
`page`.
"""

from customers.portal.frame import Visitor, missing, page, signed_in

__all__ = ["Visitor", "missing", "page", "signed_in"]
