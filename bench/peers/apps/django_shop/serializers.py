"""The request of POST /api/orders."""

from __future__ import annotations

from rest_framework import serializers


class OrderSerializer(serializers.Serializer):
    """A merchant's order for a payer."""

    description = serializers.CharField(max_length=127)
    total = serializers.IntegerField(min_value=1, max_value=100_000_000)
    trade_type = serializers.ChoiceField(["JSAPI"])
    openid = serializers.CharField(max_length=128)
    api = serializers.CharField(required=False)
