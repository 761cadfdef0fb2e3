"""Where everything is reached."""

from django.contrib import admin
from django.urls import include, path

from config.base.admin.find import find
from config.front import front

handler400 = "config.base.api.problems.bad_request"
handler404 = "config.front.page_not_found"
handler500 = "config.base.api.problems.server_error"

urlpatterns = [
    path("api/v1/", include("config.api")),  # the first: events come by the thousand
    path("", front, name="front"),
    path("admin/find/", admin.site.admin_view(find), name="find"),
    path("admin/", admin.site.urls),
    path("docs/", include("config.docs")),
    path("portal/", include("config.portal")),
]
