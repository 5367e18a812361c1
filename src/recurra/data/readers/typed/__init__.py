"""Readers of tables whose columns have types: Parquet, Arrow, Excel workbooks."""
