"""Orders and the notifications received for them."""

from __future__ import annotations

from django.db import models


class Order(models.Model):
    """An order and the state of its payment."""

    class TradeState(models.TextChoices):
        NOTPAY = "NOTPAY"
        SUCCESS = "SUCCESS"

    out_trade_no = models.CharField(max_length=32, primary_key=True)
    description = models.CharField(max_length=127)
    total = models.IntegerField()
    openid = models.CharField(max_length=128)
    trade_state = models.CharField(max_length=16, choices=TradeState, default=TradeState.NOTPAY)
    prepay_id = models.CharField(max_length=64, default="")
    transaction_id = models.CharField(max_length=32, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = (models.Index(fields=["trade_state", "-created_at"]),)


class Notification(models.Model):
    """A notification as WeChat sent it, once for each transaction."""

    transaction_id = models.CharField(max_length=32, primary_key=True)
    out_trade_no = models.CharField(max_length=32, db_index=True)
    raw = models.TextField()
    received_at = models.DateTimeField(auto_now_add=True)
