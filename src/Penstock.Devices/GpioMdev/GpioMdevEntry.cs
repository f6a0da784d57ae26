using Penstock.Specs.Idio16;

namespace Penstock.Devices;

/// <summary>The catalog's entry for a bank of lines that is served as several cards.</summary>
internal static class GpioMdevEntry
{
    private const string Instances = "instances";
    private const string Uuids = "uuids";
    private const string Inputs = "inputs";
    private const string Random = "random";
    private const int Most = 64;

    internal static DeviceEntry Entry { get; } = new()
    {
        Name = "gpio-mdev",
        Summary = "one bank of lines as several PCI-IDIO-16 cards: mediated devices, each on a socket of its own",
        VendorId = Idio16Registers.VendorId,
        DeviceId = Idio16Registers.DeviceId,
        Options =
        [
            new DeviceOption(Instances, "N", "2", "how many cards"),
            new DeviceOption(Uuids, "LIST", Random, "their UUIDs, with commas between"),
            new DeviceOption(Inputs, "MASK", "0", "levels of the 16 inputs of each card at the start, bit 0 for input 0"),
        ],
        ParentFactory = static options =>
        {
            int instances = (int)options.GetNumber(Instances, 1, Most);
            var bank = new GpioBank(instances, (ushort)options.GetNumber(Inputs, 0, ushort.MaxValue));
            return new ServedParent("gpio-bank", new GpioMdevDriver(bank), GpioMdevDriver.CreateType(), UuidsOf(options, instances), new GpioMdevConsole(bank));
        },
    };

    private static List<Guid> UuidsOf(DeviceOptions options, int instances)
    {
        string text = options.GetText(Uuids);
        if (text == Random)
        {
            return [.. Enumerable.Range(0, instances).Select(_ => Guid.NewGuid())];
        }

        var uuids = new List<Guid>();
        foreach (string word in text.Split(','))
        {
            uuids.Add(Guid.TryParseExact(word, "D", out Guid uuid)
                ? uuid
                : throw options.Refused(Uuids, $"'{word}' is not a UUID; write it in groups of 8-4-4-4-12 hexadecimal digits"));
        }

        return uuids.Count == instances && uuids.Distinct().Count() == instances
            ? uuids
            : throw options.Refused(Uuids, $"{instances} different UUIDs are needed, one for each card");
    }
}
