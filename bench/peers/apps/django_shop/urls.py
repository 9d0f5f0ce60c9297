"""The two addresses."""

from __future__ import annotations

from django.urls import path

from django_shop.views import OrdersView, notify

urlpatterns = [path("api/orders", OrdersView.as_view()), path("notify", notify)]
