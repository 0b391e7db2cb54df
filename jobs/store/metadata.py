"""What the modules of tables share: one collection, and the two types that are the same everywhere."""

import sqlalchemy as sa

metadata = sa.MetaData()
MONEY = sa.Numeric(20, 12)
TIME = sa.DateTime(timezone=True)
