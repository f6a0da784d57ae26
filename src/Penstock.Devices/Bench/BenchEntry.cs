namespace Penstock.Devices;

/// <summary>The catalog's entry for the measuring device.</summary>
internal static class BenchEntry
{
    private const string Limit = "limit";
    private const ulong LongestLimit = 60;

    internal static DeviceEntry Entry { get; } = new()
    {
        Name = "bench",
        Summary = "64 KiB of plain storage that measures register access and DMA from inside (no guest driver)",
        VendorId = BenchRegisters.VendorId,
        DeviceId = BenchRegisters.DeviceId,
        Options = [new DeviceOption(Limit, "SECONDS", "10", "longest time that one operation may take")],
        Factory = static options =>
            new ServedDevice(new BenchFunction(TimeSpan.FromSeconds(options.GetNumber(Limit, 1, LongestLimit)))),
    };
}
