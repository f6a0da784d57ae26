namespace Penstock.Devices;

/// <summary>The catalog's entry for QEMU's teaching device.</summary>
internal static class EduEntry
{
    private const string DmaMask = "dma-mask";
    private const string Delay = "delay";
    private const ulong LongestDelay = 60_000;

    internal static DeviceEntry Entry { get; } = new()
    {
        Name = "edu",
        Summary = "QEMU's teaching device: factorials, interrupts by pin or MSI, DMA to and from a 4 KiB buffer",
        VendorId = EduRegisters.VendorId,
        DeviceId = EduRegisters.DeviceId,
        Options =
        [
            new DeviceOption(DmaMask, "BITS", "28", "how many address bits the DMA unit has, 12 to 64"),
            new DeviceOption(Delay, "MS", "0", "how long a factorial and a transfer take"),
        ],
        Factory = static options =>
        {
            var function = new EduFunction(new EduOptions
            {
                DmaBits = (int)options.GetNumber(DmaMask, EduOptions.FewestDmaBits, EduOptions.MostDmaBits),
                Delay = TimeSpan.FromMilliseconds(options.GetNumber(Delay, 0, LongestDelay)),
            });
            return new ServedDevice(function, new EduConsole(function));
        },
    };
}
