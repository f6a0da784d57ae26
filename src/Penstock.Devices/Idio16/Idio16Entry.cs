using Penstock.Specs.Idio16;

namespace Penstock.Devices;

/// <summary>The catalog's entry for the PCI-IDIO-16 card.</summary>
internal static class Idio16Entry
{
    private const string Inputs = "inputs";

    internal static DeviceEntry Entry { get; } = new()
    {
        Name = "idio16",
        Summary = "ACCES PCI-IDIO-16: 16 outputs, 16 inputs, interrupt on change (Linux driver gpio-pci-idio-16)",
        VendorId = Idio16Registers.VendorId,
        DeviceId = Idio16Registers.DeviceId,
        Options = [new DeviceOption(Inputs, "MASK", "0", "levels of the 16 inputs at the start, bit 0 for input 0")],
        Factory = static options =>
        {
            var function = new Idio16Function((ushort)options.GetNumber(Inputs, 0, ushort.MaxValue));
            return new ServedDevice(function, new Idio16Console(function));
        },
    };
}
