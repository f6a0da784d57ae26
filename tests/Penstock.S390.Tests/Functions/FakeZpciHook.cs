using Penstock.Interop;
using Penstock.Pci;
using Penstock.Pci.Tests;
using Penstock.Vfio;

namespace Penstock.S390.Tests.Functions;

/// <summary>A hypervisor part that remembers who registered, and refuses when it is told to.</summary>
internal sealed class FakeZpciHook : IZpciVmHook
{
    public List<(ZpciVfioPciDevice Device, IHypervisor Machine)> Registered { get; } = [];

    public Errno Error { get; set; }

    public Action? OnRegister { get; set; }

    public Action? OnUnregister { get; set; }

    public void Register(ZpciVfioPciDevice device, IHypervisor machine)
    {
        if (Error != Errno.None)
        {
            throw new VfioException(Error, "registering with the fake", "the test wants it");
        }

        OnRegister?.Invoke();
        Registered.Add((device, machine));
    }

    public void Unregister(ZpciVfioPciDevice device)
    {
        OnUnregister?.Invoke();
        Assert.Equal(1, Registered.RemoveAll(r => r.Device == device));
    }
}
