using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Penstock.Lab;

namespace Penstock.Cli.Serve;

/// <summary>The arguments that give a served device to a QEMU.</summary>
internal static class QemuArguments
{
    private const string Memory = "512M";
    private const string DeviceId = "device";

    /// <summary>The function's identifier on s390x.</summary>
    public const uint FunctionId = 1;

    /// <summary>Memory of a guest that is tapped; it is made here, not by QEMU.</summary>
    public const ulong TappedMemory = 512 << 20;

    private static readonly JsonSerializerOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The x86-64 machine, which takes every device.</summary>
    public static QemuMachine X86(string socketPath) =>
        new(GuestArchitecture.X86_64, "x86_64", "qemu-system-x86_64", [.. Machine("q35"), "-device", Device(socketPath)]);

    /// <summary>
    /// The machines for a device with MSI-X. PCI on s390x cannot do without that; there each function has a zPCI device of its own, which must
    /// come first. On ppc64le QEMU 11.1 takes the only vfio-user device of a host bridge for one of the kernel's and aborts; with two it does not.
    /// A small window there, because QEMU clears it page by page at each reset.
    /// </summary>
    public static IReadOnlyList<QemuMachine> WithMsix(string socketPath)
    {
        string second = $"{socketPath}.second";
        return
        [
            X86(socketPath),
            new(
                GuestArchitecture.S390x,
                "s390x",
                "qemu-system-s390x",
                [.. Machine("s390-ccw-virtio"), "-device", QemuDevice.Zpci(1, FunctionId, DeviceId), "-device", Device(socketPath, DeviceId)]),
            new(
                GuestArchitecture.Ppc64le,
                "ppc64le",
                "qemu-system-ppc64",
                [.. Machine("pseries"), "-global", "spapr-pci-host-bridge.dma_win_size=0x1000000", "-device", Device(socketPath), "-device", Device(second)],
                ["serve", "idio16", "--socket", second]),
        ];
    }

    /// <summary>An s390x machine with this process's memory and the plugin.</summary>
    public static QemuMachine Tapped(string socketPath, ulong memory, IEnumerable<string> tap) => new(
        GuestArchitecture.S390x,
        "s390x",
        "qemu-system-s390x",
        [
            "-machine", "s390-ccw-virtio", .. tap, "-m", $"{memory >> 20}M", "-smp", "1,maxcpus=2",
            "-device", QemuDevice.Zpci(1, FunctionId, DeviceId), "-device", Device(socketPath, DeviceId),
        ]);

    /// <summary>The same, as a person pastes them into a shell.</summary>
    public static string Shell(IEnumerable<string> arguments) => string.Join(' ', arguments.Select(Quote));

    private static string[] Machine(string name) =>
    [
        "-object", $"memory-backend-memfd,id=mem,size={Memory},share=on",
        "-machine", $"{name},memory-backend=mem",
        "-m", Memory,
    ];

    private static string Device(string socketPath, string? id = null)
    {
        var device = new JsonObject { ["driver"] = "vfio-user-pci" };
        if (id is not null)
        {
            device["id"] = id;
        }

        device["socket"] = new JsonObject { ["type"] = "unix", ["path"] = Path.GetFullPath(socketPath) };
        return device.ToJsonString(Plain);
    }

    private static string Quote(string text) => text.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '=' or ',' or '.' or '/' or ':')
        ? text
        : $"'{text.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}
