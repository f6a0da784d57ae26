using Penstock.Interop;
using Penstock.Specs.Kvm;

namespace Penstock.Hypervisor;

/// <summary>The zPCI functions of one machine. Functions of other machines cannot be seen here. All members may be called from any thread.</summary>
public sealed class ZpciDevices
{
    private readonly Lock _gate = new();
    private readonly List<KvmZdev> _ties = [];

    internal ZpciDevices()
    {
    }

    /// <summary>The ties as of now.</summary>
    public IReadOnlyList<KvmZdev> All
    {
        get
        {
            lock (_gate)
            {
                return [.. _ties];
            }
        }
    }

    /// <summary>KVM_S390_ZPCI_OP: registers or takes back a function's adapter interruptions.</summary>
    /// <param name="call">The operation.</param>
    /// <exception cref="Vfio.VfioException">
    /// ENODEV: the machine has no function with this handle; EINVAL: unknown operation or flag, the function is not interpreted, is registered
    /// already or not at all, or the guest's vector crosses a page or its summary is not aligned; ERANGE: no such interruption subclass;
    /// EIO: the guest's memory cannot be pinned.
    /// </exception>
    public void Operate(in KvmS390ZpciOp call)
    {
        const string What = "KVM_S390_ZPCI_OP";
        uint handle = call.FunctionHandle;
        KvmZdev tie = All.FirstOrDefault(t => t.Function.Handle == handle)
            ?? throw new Vfio.VfioException(Errno.ENODEV, What, $"the machine has no function with handle 0x{handle:x8}");
        switch (call.Operation)
        {
            case KvmS390ZpciOperation.RegisterAen when (call.Flags & ~KvmS390ZpciAenFlags.Host) != 0:
                throw new Vfio.VfioException(Errno.EINVAL, What, $"unknown flags 0x{(uint)call.Flags:x}");
            case KvmS390ZpciOperation.RegisterAen or KvmS390ZpciOperation.DeregisterAen:
                tie.Operate(What, call);
                break;
            default:
                throw new Vfio.VfioException(Errno.EINVAL, What, $"there is no operation {(byte)call.Operation}");
        }
    }

    internal void Add(KvmZdev tie)
    {
        lock (_gate)
        {
            _ties.Add(tie);
        }
    }

    internal void Remove(KvmZdev tie)
    {
        lock (_gate)
        {
            _ties.Remove(tie);
        }
    }
}
