from django.db import migrations, models

from tenants.migrating import AddFieldOnce, CreateModelOnce


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("rateguard_jobs", "0008_endpoint_responses")]

    operations = [
        AddFieldOnce("attempt", "cache_write_long_tokens", models.BigIntegerField(db_default=0, default=0)),
        AddFieldOnce("attempt", "audio_input_tokens", models.BigIntegerField(db_default=0, default=0)),
        AddFieldOnce("attempt", "audio_output_tokens", models.BigIntegerField(db_default=0, default=0)),
        AddFieldOnce("attempt", "reasoning_tokens", models.BigIntegerField(db_default=0, default=0)),
        AddFieldOnce("attempt", "tier", models.CharField(blank=True, db_default="", default="", max_length=16)),
        AddFieldOnce("attempt", "terms", models.CharField(blank=True, db_default="", default="", max_length=64)),
        AddFieldOnce("attempt", "searches", models.PositiveIntegerField(db_default=0, default=0)),
        AddFieldOnce("job", "price_words", models.CharField(blank=True, db_default="", default="", max_length=64)),
        AddFieldOnce("job", "counted_tokens", models.PositiveIntegerField(db_default=0, default=0)),
        CreateModelOnce(
            name="Calibration",
            fields=[
                ("deployment_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("mean_permille", models.PositiveIntegerField(default=1000)),
                ("samples", models.BigIntegerField(default=0)),
                ("bins", models.JSONField(blank=True, default=list)),
                ("read_until", models.DateTimeField(null=True)),
            ],
        ),
    ]
