using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>A device with whatever migration and logging a test gives it.</summary>
internal sealed class MovableDevice(string name = "movable") : VfioDevice(name)
{
    public MigrationOperations? Moves { get; set; }

    public LoggingOperations? Logs { get; set; }

    public VfioMigration? Machine { get; set; }

    protected internal override MigrationOperations? Migration => Moves ?? Machine?.Operations;

    protected internal override LoggingOperations? Logging => Logs;

    protected internal override VfioDeviceInfo GetInfo() => new(VfioDeviceFlags.Reset, 0, 0);

    protected internal override VfioRegionInfo GetRegionInfo(uint index) => throw new VfioException(Errno.EINVAL, "region info", "none");

    protected internal override VfioIrqInfo GetIrqInfo(uint index) => throw new VfioException(Errno.EINVAL, "irq info", "none");

    protected internal override void SetIrqs(in VfioIrqRequest request) => throw new VfioException(Errno.EINVAL, "irqs", "none");

    protected internal override void Close() => Machine?.Close();

    protected internal override void Reset() => Machine?.Reset();

    protected internal override Errno Read(uint region, ulong offset, Span<byte> data, out int transferred)
    {
        transferred = 0;
        return Errno.EINVAL;
    }

    protected internal override Errno Write(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred)
    {
        transferred = 0;
        return Errno.EINVAL;
    }
}
