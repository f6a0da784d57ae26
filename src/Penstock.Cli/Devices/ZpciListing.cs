using System.Globalization;
using System.Text.Json.Nodes;
using Penstock.Devices;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Cli.Devices;

/// <summary>
/// <c>penstock devices --zpci</c>: each device of the catalog as a zPCI function, opened like any user opens one, and what its capabilities say.
/// </summary>
internal static class ZpciListing
{
    private static readonly Dictionary<string, string> NoOptions = [];

    public static int Print(DeviceCatalog catalog, Output output)
    {
        var functions = new TextTable(
            new("DEVICE"), new("FID", Right: true), new("HANDLE"), new("DMA"), new("PCHID"), new("VFN", Right: true), new("TYPE", Right: true), new("FMB", Right: true), new("ERROR", Right: true), new("PATH"), new("UTIL"));
        var groups = new TextTable(
            new("DEVICE"), new("GROUP", Right: true), new("MESSAGES TO"), new("ADDRESS MASK"), new("FLAGS"), new("VERSION", Right: true), new("INTERRUPTS", Right: true), new("STORE", Right: true), new("INTERPRETED", Right: true), new("INTERVAL", Right: true));
        var others = new List<string>();
        ushort index = 0;
        using var host = new VfioHost();
        foreach (DeviceEntry entry in catalog.Entries)
        {
            index++;
            try
            {
                ZpciDeviceInfo info = InfoOf(host, catalog, entry, index);
                output.Object(Describe(entry.Name, index, info));
                Add(functions, groups, entry.Name, index, info);
            }
            catch (VfioException none) when (none.Errno == Errno.ENODEV)
            {
                output.Object(new JsonObject { ["device"] = entry.Name, ["errno"] = none.Errno.ToString(), ["why"] = none.Why });
                others.Add($"{entry.Name}: {none.Why}");
            }
        }

        output.Line($"{functions}\n\n{groups}{(others.Count == 0 ? "" : "\n\n" + string.Join('\n', others))}");
        return ExitStatus.Done;
    }

    private static ZpciDeviceInfo InfoOf(VfioHost host, DeviceCatalog catalog, DeviceEntry entry, ushort index)
    {
        if (entry.Factory is null)
        {
            throw new VfioException(Errno.ENODEV, $"device '{entry.Name}'", "no zPCI function, its devices are software without an IOMMU");
        }

        using ServedDevice served = catalog.Create(entry.Name, NoOptions);
        IommuGroup group = host.AddIommuUnit($"unit {index}").CreateGroup();
        ZpciFunction function = ZpciFunctions.Create(index, index, $"PENSTOCK {entry.Name.ToUpperInvariant()}");
        using var device = new ZpciVfioPciDevice(Invariant($"{index:x4}:00:00.0"), served.Function, group, function);
        host.Register(device, group);
        try
        {
            using VfioGroup users = host.OpenGroup(group.Number, Caller.Current);
            using VfioContainer container = host.OpenContainer(Caller.Current);
            users.SetContainer(container);
            container.SetIommu(VfioIommuType.Type1V2);
            using VfioDeviceFile file = users.OpenDevice(device.Name);
            return ZpciDeviceInfo.Of(file);
        }
        finally
        {
            host.Unregister(device);
        }
    }

    private static void Add(TextTable functions, TextTable groups, string name, ushort id, ZpciDeviceInfo info)
    {
        functions.Add(
            name,
            Invariant($"0x{id:x}"),
            info.HostHandle is uint handle ? Invariant($"0x{handle:x8}") : "-",
            Invariant($"0x{info.Base.StartDma:x}-0x{info.Base.EndDma:x}"),
            Invariant($"0x{info.Base.PhysicalChannel:x}"),
            Invariant($"{info.Base.VirtualFunction}"),
            Invariant($"{info.Base.FunctionType}"),
            Invariant($"{info.Base.MeasurementLength}"),
            Invariant($"{info.Base.ErrorLength}"),
            PathOf(info),
            info.UtilText.Length == 0 ? "-" : info.UtilText);
        if (info.Group is { } group)
        {
            groups.Add(
                name,
                Invariant($"{info.Base.GroupId}"),
                Invariant($"0x{group.MsiAddress:x}"),
                Invariant($"0x{group.DmaAddressMask:x}"),
                Invariant($"0x{group.Flags:x}"),
                Invariant($"{group.Version}"),
                Invariant($"{group.Interrupts}"),
                Invariant($"{group.MaximumStore}"),
                info.MaximumInterpretedStore is ushort longest ? Invariant($"{longest}") : "-",
                Invariant($"{group.MeasurementInterval} ms"));
        }
    }

    private static JsonObject Describe(string name, ushort id, ZpciDeviceInfo info) => new()
    {
        ["device"] = name,
        ["fid"] = id,
        ["base"] = new JsonObject
        {
            ["version"] = info.BaseVersion,
            ["handle"] = info.HostHandle,
            ["start_dma"] = info.Base.StartDma,
            ["end_dma"] = info.Base.EndDma,
            ["pchid"] = info.Base.PhysicalChannel,
            ["vfn"] = info.Base.VirtualFunction,
            ["fmb_length"] = info.Base.MeasurementLength,
            ["pft"] = info.Base.FunctionType,
            ["gid"] = info.Base.GroupId,
            ["error_length"] = info.Base.ErrorLength,
        },
        ["group"] = info.Group is not { } group ? null : new JsonObject
        {
            ["version"] = info.GroupVersion,
            ["dasm"] = group.DmaAddressMask,
            ["msi_address"] = group.MsiAddress,
            ["flags"] = group.Flags,
            ["mui"] = group.MeasurementInterval,
            ["noi"] = group.Interrupts,
            ["maxstbl"] = group.MaximumStore,
            ["imaxstbl"] = info.MaximumInterpretedStore,
            ["hardware_version"] = group.Version,
        },
        ["util"] = info.Util.Length == 0 ? null : info.UtilText,
        ["pfip"] = PathOf(info),
    };

    private static string PathOf(ZpciDeviceInfo info) => Convert.ToHexStringLower(info.Path.Span);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
