using Penstock.Lab;

namespace Penstock.Cli.Demo;

/// <summary>The demonstrations of one device.</summary>
/// <param name="Device">The device's name in the catalog.</param>
/// <param name="WithoutVm">Makes the one without a VM.</param>
/// <param name="InGuest">Makes the one in a guest, with the guest's console or without.</param>
internal sealed record DeviceDemo(string Device, Func<DemoReport, WireDemo> WithoutVm, Func<DemoReport, bool, GuestDemo> InGuest)
{
    private static readonly GuestArchitecture[] X86 = [GuestArchitecture.X86_64];
    private static readonly GuestArchitecture[] Every = [GuestArchitecture.X86_64, GuestArchitecture.S390x, GuestArchitecture.Ppc64le];

    public static IReadOnlyList<DeviceDemo> All { get; } =
    [
        new("idio16", report => new Idio16WireDemo(report), (report, console) => new Idio16GuestDemo(report, console)),
        new("edu", report => new EduWireDemo(report), (report, console) => new EduGuestDemo(report, console)),
        new("nvme", report => new NvmeWireDemo(report), (report, console) => new NvmeGuestDemo(report, console)) { Guests = Every },
    ];

    /// <summary>The architectures of guests that it can be shown in.</summary>
    public IReadOnlyList<GuestArchitecture> Guests { get; init; } = X86;
}
