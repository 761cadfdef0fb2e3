"""The catalog's endpoints: metrics, plans, versions, presets, coupons, add-ons, and the price calculator.

Bodies become model instances and PriceDrafts; each view calls one service of `catalog.services`.
"""

from django.urls import path

from catalog.api.add_ons import AddOnViewSet
from catalog.api.calculator import CalculatePrice
from catalog.api.coupons import CouponViewSet
from catalog.api.metrics import MetricViewSet
from catalog.api.plans import PlanViewSet
from catalog.api.presets import ImportPreset, Presets
from catalog.api.versions import VersionViewSet

routes = [
    ("metrics", MetricViewSet, "metric"),
    ("coupons", CouponViewSet, "coupon"),
    ("add-ons", AddOnViewSet, "add-on"),
    ("plans", PlanViewSet, "plan"),
    (r"plans/(?P<plan>[^/]+)/versions", VersionViewSet, "version"),
]
urlpatterns = [
    path("prices/calculate", CalculatePrice.as_view(), name="calculate-price"),
    path("presets", Presets.as_view(), name="presets"),
    path("presets/<str:key>/import", ImportPreset.as_view(), name="import-preset"),
]
