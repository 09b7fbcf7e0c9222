# %% [markdown] minutes=5 datasets=["flights-day-csv"] systems=["spark"]
# # Spark
#
# Four questions to Spark, which starts once for each notebook.

# %% [markdown]
# ## You will be able to
#
# - group, join and rank tables with Spark (exercises 1 to 4)

# %% role="setup"
import pandas as pd

from labkit import dataset, open_lab

lab = open_lab("04-1-benchmark/03-spark")
columns = ["carrier", "origin", "dest", "hour", "dep_delay", "distance", "flight"]
flights = pd.read_csv(dataset("flights-day-csv").path, usecols=columns)[columns]
flights = flights.fillna({"dep_delay": 0.0})

# %% [markdown] topics=["4.1-1"]
# ## One day of flights

# %%
from pyspark.sql import Window
from pyspark.sql import functions as F

from labkit.spark import session

spark = session(settings={"spark.master": "local[1]"})
table = spark.createDataFrame(flights)
table.groupBy("origin").count().orderBy("origin").toPandas()

# %% [markdown] role="task" exercise="delays" points=2 topics=["4.1-1"]
# ### Mean delay
#
# Write `delays(flights)`: a pandas frame with `origin` and `delay`, the mean of `dep_delay`.


# %% role="answer" exercise="delays"
def delays(flights):
    """Mean delay of each airport."""
    ### BEGIN SOLUTION
    table = spark.createDataFrame(flights)
    return table.groupBy("origin").agg(F.avg("dep_delay").alias("delay")).toPandas()
    ### END SOLUTION


# %% role="check" exercise="delays"
with lab.check("delays") as answer:
    few = flights.head(300)
    answer.same_rows(
        answer.call("delays", few),
        few.groupby("origin", as_index=False).agg(delay=("dep_delay", "mean")),
        asked="the rows for 300 flights",
    )

# %% role="hidden" exercise="delays"
with lab.check("delays", hidden=True) as answer:
    few = flights.sample(400, random_state=answer.random.randrange(1000))
    answer.same_rows(
        answer.call("delays", few),
        few.groupby("origin", as_index=False).agg(delay=("dep_delay", "mean")),
        asked="the rows for other flights",
    )

# %% [markdown] role="hint" exercise="delays"
# Begin with `spark.createDataFrame(flights)`.

# %% [markdown] role="hint" exercise="delays"
# Look up `groupBy`, `agg` and `Window`.

# %% [markdown] role="hint" exercise="delays"
# End with `toPandas()`.


# %% role="right" exercise="delays"
def delays(flights):
    table = spark.createDataFrame(flights)
    table.createOrReplaceTempView("few")
    query = "SELECT origin, avg(dep_delay) delay FROM few GROUP BY origin"
    return spark.sql(query).toPandas()


# %% role="wrong" exercise="delays" misconception="the sum" caught="check" says="delay"
def delays(flights):
    table = spark.createDataFrame(flights)
    return table.groupBy("origin").agg(F.sum("dep_delay").alias("delay")).toPandas()


# %% role="wrong" exercise="delays" misconception="the greatest" caught="check" says="delay"
def delays(flights):
    table = spark.createDataFrame(flights)
    return table.groupBy("origin").agg(F.max("dep_delay").alias("delay")).toPandas()


# %% role="wrong" exercise="delays" misconception="by carrier" caught="check" says="origin"
def delays(flights):
    table = spark.createDataFrame(flights)
    return table.groupBy("carrier").agg(F.avg("dep_delay").alias("delay")).toPandas()


# %% [markdown] role="task" exercise="late" points=2 topics=["4.1-1"]
# ### Late flights
#
# Write `late(flights)`: a pandas frame with `carrier` and `late`, its flights 15 minutes late or more.


# %% role="answer" exercise="late"
def late(flights):
    """Late flights of each carrier."""
    ### BEGIN SOLUTION
    table = spark.createDataFrame(flights)
    late = table.filter("dep_delay >= 15")
    return late.groupBy("carrier").agg(F.count("*").alias("late")).toPandas()
    ### END SOLUTION


# %% role="check" exercise="late"
with lab.check("late") as answer:
    few = flights.head(300)
    answer.same_rows(
        answer.call("late", few),
        few[few["dep_delay"] >= 15].groupby("carrier").size().reset_index(name="late"),
        asked="the rows for 300 flights",
    )

# %% role="hidden" exercise="late"
with lab.check("late", hidden=True) as answer:
    few = flights.sample(400, random_state=answer.random.randrange(1000))
    answer.same_rows(
        answer.call("late", few),
        few[few["dep_delay"] >= 15].groupby("carrier").size().reset_index(name="late"),
        asked="the rows for other flights",
    )

# %% [markdown] role="hint" exercise="late"
# Begin with `spark.createDataFrame(flights)`.

# %% [markdown] role="hint" exercise="late"
# Look up `groupBy`, `agg` and `Window`.

# %% [markdown] role="hint" exercise="late"
# End with `toPandas()`.


# %% role="right" exercise="late"
def late(flights):
    table = spark.createDataFrame(flights)
    late = table.where(F.col("dep_delay") >= 15).groupBy("carrier").count()
    return late.withColumnRenamed("count", "late").toPandas()


# %% role="wrong" exercise="late" misconception="more than 30" caught="check" says="late"
def late(flights):
    table = spark.createDataFrame(flights)
    late = table.filter("dep_delay > 30")
    return late.groupBy("carrier").agg(F.count("*").alias("late")).toPandas()


# %% role="wrong" exercise="late" misconception="all flights" caught="check" says="late"
def late(flights):
    table = spark.createDataFrame(flights)
    late = table.filter("true")
    return late.groupBy("carrier").agg(F.count("*").alias("late")).toPandas()


# %% role="wrong" exercise="late" misconception="airports" caught="check" says="carrier"
def late(flights):
    table = spark.createDataFrame(flights)
    late = table.filter("dep_delay >= 15")
    return late.groupBy("origin").agg(F.count("*").alias("late")).toPandas()


# %% [markdown] role="task" exercise="farthest" points=2 topics=["4.1-1"]
# ### The longest flight
#
# Write `farthest(flights)`: for each `origin` the `dest` and `distance` of its longest flight, of equals the one with the lowest `flight`.


# %% role="answer" exercise="farthest"
def farthest(flights):
    """The longest flight of each airport."""
    ### BEGIN SOLUTION
    table = spark.createDataFrame(flights)
    order = Window.partitionBy("origin").orderBy(F.desc("distance"), "flight")
    ranked = table.withColumn("rank", F.row_number().over(order))
    return ranked.filter("rank = 1").select("origin", "dest", "distance").toPandas()
    ### END SOLUTION


# %% role="check" exercise="farthest"
with lab.check("farthest") as answer:
    few = flights.head(300)
    answer.same_rows(
        answer.call("farthest", few),
        few.sort_values(
            ["distance", "flight"], ascending=[False, True]
        ).drop_duplicates("origin")[["origin", "dest", "distance"]],
        asked="the rows for 300 flights",
    )

# %% role="hidden" exercise="farthest"
with lab.check("farthest", hidden=True) as answer:
    few = flights.sample(400, random_state=answer.random.randrange(1000))
    answer.same_rows(
        answer.call("farthest", few),
        few.sort_values(
            ["distance", "flight"], ascending=[False, True]
        ).drop_duplicates("origin")[["origin", "dest", "distance"]],
        asked="the rows for other flights",
    )

# %% [markdown] role="hint" exercise="farthest"
# Begin with `spark.createDataFrame(flights)`.

# %% [markdown] role="hint" exercise="farthest"
# Look up `groupBy`, `agg` and `Window`.

# %% [markdown] role="hint" exercise="farthest"
# End with `toPandas()`.


# %% role="right" exercise="farthest"
def farthest(flights):
    table = spark.createDataFrame(flights)
    first = F.struct(-F.col("distance"), "flight")
    found = table.groupBy("origin").agg(
        F.min_by(F.struct("dest", "distance"), first).alias("f")
    )
    return found.select("origin", "f.dest", "f.distance").toPandas()


# %% role="wrong" exercise="farthest" misconception="the shortest" caught="check" says="dest"
def farthest(flights):
    table = spark.createDataFrame(flights)
    order = Window.partitionBy("origin").orderBy("distance", "flight")
    ranked = table.withColumn("rank", F.row_number().over(order))
    return ranked.filter("rank = 1").select("origin", "dest", "distance").toPandas()


# %% role="wrong" exercise="farthest" misconception="the second" caught="check" says="dest"
def farthest(flights):
    table = spark.createDataFrame(flights)
    order = Window.partitionBy("origin").orderBy(F.desc("distance"), "flight")
    ranked = table.withColumn("rank", F.row_number().over(order))
    return ranked.filter("rank = 2").select("origin", "dest", "distance").toPandas()


# %% role="wrong" exercise="farthest" misconception="by carrier" caught="check" says="row"
def farthest(flights):
    table = spark.createDataFrame(flights)
    order = Window.partitionBy("carrier").orderBy(F.desc("distance"), "flight")
    ranked = table.withColumn("rank", F.row_number().over(order))
    return ranked.filter("rank = 1").select("origin", "dest", "distance").toPandas()


# %% [markdown] role="task" exercise="reach" points=2 topics=["4.1-1"]
# ### What a carrier reaches
#
# Write `reach(flights)`: a pandas frame with `carrier` and `flights`, those of all carriers to its destinations.


# %% role="answer" exercise="reach"
def reach(flights):
    """Flights to the destinations of each carrier."""
    ### BEGIN SOLUTION
    table = spark.createDataFrame(flights)
    counts = table.groupBy("dest").agg(F.count("*").alias("flights"))
    joined = table.select("carrier", "dest").distinct().join(counts, "dest")
    return joined.groupBy("carrier").agg(F.sum("flights").alias("flights")).toPandas()
    ### END SOLUTION


# %% role="check" exercise="reach"
with lab.check("reach") as answer:
    few = flights.head(300)
    answer.same_rows(
        answer.call("reach", few),
        few[["carrier", "dest"]]
        .drop_duplicates()
        .merge(few.groupby("dest").size().reset_index(name="flights"), on="dest")
        .groupby("carrier", as_index=False)["flights"]
        .sum(),
        asked="the rows for 300 flights",
    )

# %% role="hidden" exercise="reach"
with lab.check("reach", hidden=True) as answer:
    few = flights.sample(400, random_state=answer.random.randrange(1000))
    answer.same_rows(
        answer.call("reach", few),
        few[["carrier", "dest"]]
        .drop_duplicates()
        .merge(few.groupby("dest").size().reset_index(name="flights"), on="dest")
        .groupby("carrier", as_index=False)["flights"]
        .sum(),
        asked="the rows for other flights",
    )

# %% [markdown] role="hint" exercise="reach"
# Begin with `spark.createDataFrame(flights)`.

# %% [markdown] role="hint" exercise="reach"
# Look up `groupBy`, `agg` and `Window`.

# %% [markdown] role="hint" exercise="reach"
# End with `toPandas()`.


# %% role="right" exercise="reach"
def reach(flights):
    table = spark.createDataFrame(flights)
    here = table.select("carrier", "dest").distinct()
    joined = here.join(table.select("dest"), "dest")
    return joined.groupBy("carrier").agg(F.count("*").alias("flights")).toPandas()


# %% role="wrong" exercise="reach" misconception="its own flights" caught="check" says="flights"
def reach(flights):
    table = spark.createDataFrame(flights)
    return table.groupBy("carrier").agg(F.count("*").alias("flights")).toPandas()


# %% role="wrong" exercise="reach" misconception="each flight again" caught="check" says="flights"
def reach(flights):
    table = spark.createDataFrame(flights)
    counts = table.groupBy("dest").agg(F.count("*").alias("flights"))
    joined = table.select("carrier", "dest").join(counts, "dest")
    return joined.groupBy("carrier").agg(F.sum("flights").alias("flights")).toPandas()


# %% role="wrong" exercise="reach" misconception="destinations" caught="check" says="flights"
def reach(flights):
    table = spark.createDataFrame(flights)
    counts = table.groupBy("dest").agg(F.count("*").alias("flights"))
    joined = table.select("carrier", "dest").distinct().join(counts, "dest")
    return joined.groupBy("carrier").agg(F.count("*").alias("flights")).toPandas()
