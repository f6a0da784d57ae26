using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Kvm;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <content>The kernel's structures over the typed calls.</content>
public sealed partial class SimulatedVm
{
    /// <summary>A call with the kernel's number and structure, which is answered in place.</summary>
    /// <param name="request">The number, see <see cref="KvmRequest"/>.</param>
    /// <param name="argument">The structure.</param>
    /// <returns>What ioctl(2) returns.</returns>
    /// <exception cref="VfioException">
    /// ENOTTY: unknown number; EFAULT: no structure; EBADF: the machine is closed; EBADF, EINVAL: a descriptor that is not open, or no
    /// eventfd; ENODEV: no such type of device; the errors of the typed call.
    /// </exception>
    public int Ioctl(uint request, Span<byte> argument)
    {
        if (Volatile.Read(ref _closed) != 0)
        {
            throw new VfioException(Errno.EBADF, $"request 0x{request:x}", "the machine is closed");
        }

        switch ((KvmRequest)request)
        {
            case KvmRequest.CreateDevice:
                ref KvmCreateDevice device = ref Structure<KvmCreateDevice>("KVM_CREATE_DEVICE", argument);
                IoctlCreate(ref device);
                return 0;
            case KvmRequest.Irqfd:
                IoctlIrqfd(Structure<KvmIrqfd>("KVM_IRQFD", argument));
                return 0;
            case KvmRequest.IoEventfd:
                IoctlIoEventfd(Structure<KvmIoEventfd>("KVM_IOEVENTFD", argument));
                return 0;
            case KvmRequest.S390ZpciOp:
                Zpci.Operate(Structure<KvmS390ZpciOp>("KVM_S390_ZPCI_OP", argument));
                return 0;
            default:
                throw new VfioException(Errno.ENOTTY, $"request 0x{request:x}", "the machine does not know it");
        }
    }

    internal static ref T Structure<T>(string what, Span<byte> argument)
        where T : unmanaged
    {
        if (argument.Length < Unsafe.SizeOf<T>())
        {
            throw new VfioException(Errno.EFAULT, what, $"{argument.Length} bytes of {Unsafe.SizeOf<T>()} are there");
        }

        return ref MemoryMarshal.AsRef<T>(argument);
    }

    private void IoctlCreate(ref KvmCreateDevice call)
    {
        if (call.Type != KvmDeviceType.Vfio)
        {
            throw new VfioException(Errno.ENODEV, "KVM_CREATE_DEVICE", $"there is no type {(uint)call.Type}");
        }

        if ((call.Flags & KvmCreateDeviceFlags.Test) == 0)
        {
            call.Descriptor = _files.InstallOrClose(CreateVfioDevice());
        }
    }

    private void IoctlIrqfd(in KvmIrqfd call)
    {
        const string What = "KVM_IRQFD";
        if ((call.Flags & ~KvmIrqfdFlags.All) != 0)
        {
            throw new VfioException(Errno.EINVAL, What, $"unknown flags {call.Flags}");
        }

        if ((call.Flags & KvmIrqfdFlags.Deassign) != 0)
        {
            using EventDescriptor unwanted = FindEvent(What, call.Descriptor);
            Irqfds.Deassign(unwanted, call.Gsi);
            return;
        }

        bool resamples = (call.Flags & KvmIrqfdFlags.Resample) != 0;
        Irqfds.CheckController(call.Gsi, resamples);
        EventDescriptor events = FindEvent(What, call.Descriptor);
        EventDescriptor? resample;
        try
        {
            resample = resamples ? FindEvent(What, call.ResampleDescriptor) : null;
        }
        catch
        {
            events.Dispose();
            throw;
        }

        Irqfds.AssignOwned(events, call.Gsi, resample);
    }

    private void IoctlIoEventfd(in KvmIoEventfd call)
    {
        const string What = "KVM_IOEVENTFD";
        bool deassign = (call.Flags & KvmIoEventfdFlags.Deassign) != 0;
        if (!deassign)
        {
            IoEventfdTable.Check(call);
        }

        EventDescriptor events = FindEvent(What, call.Descriptor);
        if (deassign)
        {
            using (events)
            {
                IoEventfds.Deassign(events, IoMatch.Of(call));
            }
        }
        else
        {
            IoEventfds.AssignOwned(events, IoMatch.Of(call));
        }
    }

    /// <summary>
    /// The caller's own descriptor of an eventfd. Of one that was installed as an object it is known when its users have closed it; of one
    /// that is only a number it is not, since this descriptor keeps it open.
    /// </summary>
    private EventDescriptor FindEvent(string what, int descriptor)
    {
        try
        {
            if (_files.Find(descriptor) is { } file)
            {
                return (file as EventDescriptor)?.Hold(Kvm.Host.Ledger)
                    ?? throw new VfioException(Errno.EINVAL, what, $"descriptor {descriptor} is no eventfd");
            }

            using OwnedDescriptor found = _files.Duplicate(descriptor);
            OwnedDescriptor duplicate = found.Duplicate(Kvm.Host.Ledger);
            try
            {
                return EventDescriptor.Adopt(duplicate);
            }
            catch
            {
                duplicate.Dispose();
                throw;
            }
        }
        catch (SystemCallException e)
        {
            throw new VfioException(e.Errno, what, e.Message);
        }
        catch (ObjectDisposedException)
        {
            throw new VfioException(Errno.EBADF, what, $"descriptor {descriptor} is closed");
        }
    }
}
