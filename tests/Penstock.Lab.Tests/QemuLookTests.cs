namespace Penstock.Lab.Tests;

/// <summary>What texts of failures say of a guest, with real guests.</summary>
[Trait("Category", "VM")]
public sealed class QemuLookTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(10);

    [Theory]
    [InlineData(GuestArchitecture.X86_64, "[RE]IP=")]
    [InlineData(GuestArchitecture.S390x, "PSW=mask ")]
    [InlineData(GuestArchitecture.Ppc64le, "NIP ")]
    public async Task At_GuestThatRunsAndThenNot_StateAndProgramCountersAndThenWhyNot(GuestArchitecture architecture, string counter)
    {
        var lab = await VmLab.PrepareAsync(architecture);
        await using var guest = await Guest.StartAsync(lab, new GuestConfiguration { Timeout = Limit, ExtraArguments = ["-smp", "2"], Script = "sleep 1000" });
        string look = await QemuLook.AtAsync(guest, Limit);
        Assert.Matches($"^QEMU: VM status: running; {counter}[0-9a-f].* [|] {counter}[0-9a-f].*\nsoon after: {counter}[0-9a-f].* [|] {counter}[0-9a-f]", look);
        await guest.KillAsync();
        Assert.StartsWith("QEMU cannot be asked: ", await QemuLook.AtAsync(guest, Limit), StringComparison.Ordinal);
    }
}
