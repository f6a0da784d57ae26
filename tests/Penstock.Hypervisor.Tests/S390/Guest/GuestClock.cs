namespace Penstock.Hypervisor.Tests.S390.Guest;

/// <summary>A clock that the test moves; timers run on the thread that moves it.</summary>
internal sealed class GuestClock : TimeProvider
{
    private readonly List<Alarm> _alarms = [];
    private DateTimeOffset _now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public int Alarms => _alarms.Count;

    public override DateTimeOffset GetUtcNow() => _now;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var alarm = new Alarm(this, () => callback(state));
        alarm.Change(dueTime, period);
        _alarms.Add(alarm);
        return alarm;
    }

    public void Advance(TimeSpan by)
    {
        DateTimeOffset end = _now + by;
        while (_alarms.Where(a => a.Due <= end).MinBy(static a => a.Due) is { } due)
        {
            _now = due.Due;
            due.Fire();
        }

        _now = end;
    }

    private sealed class Alarm(GuestClock clock, Action fire) : ITimer
    {
        public DateTimeOffset Due { get; private set; }

        public void Fire()
        {
            Due = DateTimeOffset.MaxValue;
            fire();
        }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            Due = dueTime < TimeSpan.Zero ? DateTimeOffset.MaxValue : clock._now + dueTime;
            return true;
        }

        public void Dispose() => clock._alarms.Remove(this);

        public ValueTask DisposeAsync()
        {
            Dispose();
            return default;
        }
    }
}
