using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor.Tests.Tap;

/// <summary>The function of a tapped guest, and what the guest does before it works with it.</summary>
internal static class TappedFunction
{
    public const uint FunctionId = 9;
    public const uint Disabled = 0x0002_0000;
    public const uint Handle = Disabled | ZpciHandle.Enabled;
    public const ulong Iota = 0x1_0804;
    public const ulong First = 0x1_0000_0000;
    public const ulong Last = 0x1_1fff_ffff;

    /// <summary>The guest finds the function and switches it on.</summary>
    public static void Enable(this FakePlugin plugin)
    {
        plugin.List(FunctionId, Disabled);
        plugin.Set(ZpciSetOperation.Enable, Disabled, Handle);
    }

    public static void RegisterTables(this FakePlugin plugin) =>
        plugin.Mpcifc(Handle, ZpciModifyOperation.RegisterIoat, iota: Iota, first: First, last: Last);
}
