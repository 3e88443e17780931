create view currency_units as
select currency, 1 as units
from (values
    ('bif'), ('clp'), ('djf'), ('gnf'), ('jpy'), ('kmf'), ('krw'), ('mga'), ('pyg'), ('rwf'),
    ('vnd'), ('vuv'), ('xaf'), ('xof'), ('xpf')
) as without_decimals (currency)
union all
select currency, 1000 as units
from (values ('bhd'), ('jod'), ('kwd'), ('omr'), ('tnd')) as with_three_decimals (currency);
