using Penstock.Interop;
using Penstock.Specs.Kvm;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>The zPCI functions of one machine. Functions of other machines cannot be seen here. All members may be called from any thread.</summary>
public sealed class ZpciDevices
{
    private readonly Lock _list = new();
    private readonly Caller? _user;
    private volatile KvmZdev[] _ties = [];

    internal ZpciDevices(Caller? user) => _user = user;

    /// <summary>The ties as of now.</summary>
    public IReadOnlyList<KvmZdev> All => _ties;

    /// <summary>Serialises what happens to functions of the machine; taken after a function's own.</summary>
    internal Lock Gate { get; } = new();

    /// <summary>KVM_S390_ZPCI_OP: registers or takes back a function's adapter interruptions.</summary>
    /// <param name="call">The operation.</param>
    /// <param name="caller">Who pays for pinned memory; null for the machine's user.</param>
    /// <exception cref="VfioException">
    /// ENODEV: the machine has no function with this handle, or just lost it, or has no interruption state area; EPERM: it is another machine's now;
    /// EINVAL: unknown operation or flag, the function is not interpreted, is registered already, or the guest's vector crosses a page or its summary
    /// is not aligned; ERANGE: no such interruption subclass; EIO: the guest's memory cannot be pinned, or firmware refused; ENOMEM: over the user's limit
    /// of locked memory, or too many functions are forwarded. Nothing has changed then.
    /// </exception>
    public void Operate(in KvmS390ZpciOp call, Caller? caller = null)
    {
        const string What = "KVM_S390_ZPCI_OP";
        uint handle = call.FunctionHandle;
        KvmZdev tie = Array.Find(_ties, t => t.Function.Handle == handle)
            ?? throw new VfioException(Errno.ENODEV, What, $"the machine has no function with handle 0x{handle:x8}");
        tie.Operate(What, call, caller ?? _user ?? Caller.Current);
    }

    internal void Add(KvmZdev tie)
    {
        lock (_list)
        {
            _ties = [.. _ties, tie];
        }
    }

    internal void Remove(KvmZdev tie)
    {
        lock (_list)
        {
            _ties = [.. _ties.Where(t => t != tie)];
        }
    }
}
