select
    cast(date_trunc('month', created) as date) as month,
    currency,
    cast(coalesce(sum(amount) filter (where reporting_category = 'charge'), 0) as bigint)
        as charged,
    cast(coalesce(sum(amount) filter (
        where reporting_category in ('refund', 'refund_failure', 'partial_capture_reversal')
    ), 0) as bigint) as refunded,
    cast(coalesce(sum(amount) filter (
        where reporting_category in ('dispute', 'dispute_reversal')
    ), 0) as bigint) as disputed,
    cast(coalesce(sum(amount) filter (
        where reporting_category not in (
            'charge', 'refund', 'refund_failure', 'partial_capture_reversal',
            'dispute', 'dispute_reversal'
        )
    ), 0) as bigint) as others,
    cast(sum(fee) as bigint) as fees,
    cast(sum(net) as bigint) as net
from balance_transactions
where reporting_category not in (
    'payout', 'payout_reversal', 'topup', 'topup_reversal', 'transfer', 'transfer_reversal'
)
group by 1, 2
order by 1, 2;
