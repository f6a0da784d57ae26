namespace Penstock.Hypervisor.Tests.Tap;

/// <summary>The plugin's source, and QEMU's arguments for it.</summary>
public sealed class TapPluginTests
{
    private const int MostLines = 500;

    [Fact]
    public void Source_IsSmall()
    {
        Assert.InRange(TapPlugin.Source.Count(c => c == '\n'), 1, MostLines);
        Assert.Contains("SPDX-License-Identifier: MIT", TapPlugin.Source, StringComparison.Ordinal);
    }

    /// <summary>Both sides have as many of everything; the plugin gives up for a processor past the slots.</summary>
    [Fact]
    public void Source_SizesOfTheChannel_AreThoseOfTheLayout()
    {
        Assert.Contains(
            $"enum {{ VERSION = {TapLayout.Version}, FUNCTIONS = {TapLayout.FunctionCount}, RING = {TapLayout.RingCount}, SLOTS = {TapLayout.SlotCount}, ",
            TapPlugin.Source,
            StringComparison.Ordinal);
        Assert.Contains($"sizeof(Channel) == {TapLayout.SlotOffset} + SLOTS * {TapLayout.SlotLength}", TapPlugin.Source, StringComparison.Ordinal);
        Assert.Contains("if (vcpu >= SLOTS) give_up();", TapPlugin.Source, StringComparison.Ordinal);
    }

    [Fact]
    public void Arguments_PathWithComma_IsOneValue() =>
        Assert.Equal(["-plugin", "/a,,b/tap.so,channel=/proc/1/fd/2"], TapPlugin.Arguments("/a,b/tap.so", "/proc/1/fd/2"));

    [Fact]
    public void Vm_Memory_IsWhatQemuIsTold()
    {
        using var rig = new HypervisorRig();
        using var vm = TappedVm.Create(rig.Host, 1 << 20);

        Assert.Contains(vm.RamArguments, a => a.Contains($"size=1048576,share=on,mem-path={vm.RamPath}", StringComparison.Ordinal));
        using (FileStream file = File.OpenWrite(vm.RamPath))
        {
            Assert.Equal(1 << 20, file.Length);
            file.Write([1, 2, 3]);
        }

        byte[] seen = new byte[3];
        Assert.Equal(Interop.Errno.None, vm.Memory.Read(0, seen));
        Assert.Equal([1, 2, 3], seen);
    }
}
