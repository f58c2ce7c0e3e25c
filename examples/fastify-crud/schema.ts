/** The tables of the shop, and enough rows in them that a report takes time. */

/**
 * Creates and fills everything, unless it is there; two instances may run it on one database at the same time.
 * `item_reports` is the slow part, on purpose: to rank one item takes the orders of all.
 */
export const CREATE_SHOP = `
do $$
begin
  perform pg_advisory_xact_lock(8000);
  if exists (select from pg_namespace where nspname = 'shop') then
    return;
  end if;

  create schema shop;

  create table shop.items (
    id int generated always as identity primary key,
    name text not null,
    category text not null,
    price numeric(10, 2) not null,
    updated_at timestamptz not null default now()
  );
  create table shop.orders (item_id int not null, quantity int not null);
  create table shop.reviews (item_id int not null, rating int not null);

  perform setseed(0.8);

  insert into shop.items (name, category, price)
  select
    (array['Blue', 'Grand', 'Quiet', 'Round', 'Small', 'Swift', 'Warm'])[1 + n % 7] || ' ' ||
      (array['Kettle', 'Lamp', 'Chair', 'Radio', 'Clock', 'Basket', 'Mirror', 'Teapot', 'Shelf'])[1 + n % 9],
    (array['garden', 'kitchen', 'music', 'office', 'toys'])[1 + n % 5],
    5.99 + floor(200 * random())
  from generate_series(1, 100) as n;

  insert into shop.orders (item_id, quantity)
  select 1 + floor(100 * random() ^ 2), 1 + floor(4 * random())
  from generate_series(1, 200000);

  insert into shop.reviews (item_id, rating)
  select 1 + floor(100 * random()), 1 + floor(5 * sqrt(random()))
  from generate_series(1, 50000);

  create index on shop.orders (item_id);
  create index on shop.reviews (item_id);
  alter table shop.orders add foreign key (item_id) references shop.items on delete cascade;
  alter table shop.reviews add foreign key (item_id) references shop.items on delete cascade;

  create view shop.item_reports as
  with order_totals as (
    select item_id, count(*) as orders, sum(quantity) as sold
    from shop.orders
    group by item_id
  ),
  review_totals as (
    select item_id, count(*) as reviews, round(avg(rating), 1)::float8 as rating
    from shop.reviews
    group by item_id
  )
  select
    id,
    name,
    category,
    price::float8,
    updated_at as "updatedAt",
    coalesce(orders, 0)::int as orders,
    coalesce(sold, 0)::int as sold,
    rank() over (order by coalesce(sold, 0) desc)::int as rank,
    coalesce(reviews, 0)::int as reviews,
    rating
  from shop.items
  left join order_totals on order_totals.item_id = id
  left join review_totals on review_totals.item_id = id;
end
$$`
