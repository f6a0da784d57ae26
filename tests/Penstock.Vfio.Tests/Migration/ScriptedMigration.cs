using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>The device's side of a migration, with hooks that may fail or wait. Its state is the bytes that it is given.</summary>
internal sealed class ScriptedMigration(MigrationFlags flags = MigrationFlags.All) : IMigratableDevice
{
    public MigrationFlags Flags => flags;

    public ulong EstimatedSize => 1234;

    public List<DeviceActivity> Activities { get; } = [];

    public Action<DeviceActivity>? OnActivity { get; set; }

    public Action? OnFinish { get; set; }

    public ScriptedSource? Source { get; private set; }

    public List<byte> Loaded { get; } = [];

    public void SetActivity(DeviceActivity activity)
    {
        OnActivity?.Invoke(activity);
        Activities.Add(activity);
    }

    public MigrationSource Save(bool stopped) => Source = new ScriptedSource { Stopped = stopped };

    public MigrationTarget Load() => new Target(this);

    private sealed class Target(ScriptedMigration owner) : MigrationTarget
    {
        public override Errno Write(ReadOnlySpan<byte> source)
        {
            owner.Loaded.AddRange(source);
            return Errno.None;
        }

        public override void Finish() => owner.OnFinish?.Invoke();
    }
}
