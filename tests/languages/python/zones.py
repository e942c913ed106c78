import datetime, zoneinfo, time, calendar
for name in ("Europe/Berlin", "America/New_York", "Asia/Kathmandu", "UTC"):
    zone = zoneinfo.ZoneInfo(name)
    for month in (1, 7):
        t = datetime.datetime(2024, month, 1, 12, tzinfo=zone)
        print(name, t.isoformat(), t.utcoffset(), t.tzname())
print(time.strftime("%Z %z", time.localtime(0)), calendar.isleap(2100), datetime.date(2024, 2, 29).strftime("%A %j"))
