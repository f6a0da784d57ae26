using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>A device with whatever migration and logging a test gives it.</summary>
internal sealed class MovableDevice(string name = "movable") : BareDevice(name)
{
    public MigrationOperations? Moves { get; set; }

    public LoggingOperations? Logs { get; set; }

    public VfioMigration? Machine { get; set; }

    protected internal override MigrationOperations? Migration => Moves ?? Machine?.Operations;

    protected internal override LoggingOperations? Logging => Logs;

    protected internal override VfioDeviceInfo GetInfo() => new(VfioDeviceFlags.Reset, 0, 0);

    protected internal override void Close() => Machine?.Close();

    protected internal override void Reset() => Machine?.Reset();
}
