using Penstock.Devices;
using Penstock.Lab;

namespace Penstock.Guests.Tests;

/// <summary>A disk on a socket of its own, with all that a test looks at on this side.</summary>
internal sealed class DiskBench : DeviceBench
{
    /// <summary>The disk's serial number in the guest.</summary>
    public const string Serial = "disk";

    private const ulong Size = 160 << 20;

    private DiskBench(INvmeBacking backing, bool poll = false)
        : this(backing, new NvmeFunction(backing, new NvmeOptions { SerialNumber = Serial, Poll = poll }))
    {
    }

    private DiskBench(INvmeBacking backing, NvmeFunction disk)
        : base(disk)
    {
        Backing = backing;
        Disk = disk;
    }

    public INvmeBacking Backing { get; }

    public NvmeFunction Disk { get; }

    /// <summary>The <c>-device</c> value.</summary>
    public string Device => VfioUser(Server.Path, "disk");

    /// <summary>By what the guest's driver says that there is work, as the disk's console has it.</summary>
    public string Doorbells => new NvmeConsole(Disk).Execute("status").Text.Split('\n')
        .Single(static line => line.TrimStart().StartsWith("doorbells", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1].TrimEnd();

    protected override int DeviceThreads => Disk.WorkerThreads;

    /// <summary>A disk in memory: it has no write cache, and its I/O is done at once.</summary>
    public static DiskBench InMemory() => new(new MemoryNvmeBacking(Size));

    /// <summary>A disk in memory whose doorbells are memory too, and which looks at them all the time.</summary>
    public static DiskBench Polling() => new(new MemoryNvmeBacking(Size), poll: true);

    /// <summary>A disk in a file: it has a write cache, and its I/O is done beside the device.</summary>
    public static DiskBench InFile()
    {
        string image = Path.Combine(Path.GetTempPath(), $"penstock-{Guid.NewGuid():N}");
        FileNvmeBacking backing = FileNvmeBacking.Open(image, createLength: Size);
        File.Delete(image);
        return new DiskBench(backing);
    }

    protected override void DisposeDevice() => Disk.Dispose();
}
