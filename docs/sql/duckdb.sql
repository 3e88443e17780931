alter table invoice_line_items
    alter discount_amounts type json[] using from_json(discount_amounts, '["json"]');

alter table invoice_line_items
    alter taxes type json[] using from_json(taxes, '["json"]');
