using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Kvm;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// The device by which a machine's user says which VFIO files the machine has. A file that is added gets the machine as its hypervisor, so
/// that devices that are opened through it afterwards hold the machine; files without coherent DMA make the machine allow for that. All
/// members may be called from any thread.
/// <para>
/// It holds its files until they are removed or it is disposed, and nothing else does that while the machine lives: left alone with the file of a
/// bound device it keeps the file open, the file keeps the device open, and the device keeps the machine.
/// </para>
/// </summary>
public sealed class KvmVfio : IDisposable
{
    private readonly Lock _gate = new();
    private readonly SimulatedVm _vm;
    private readonly IUserAddressSpace _memory;
    private readonly IUserFiles _files;
    private readonly List<(VfioFile File, IDisposable Hold)> _added = [];
    private bool _nonCoherent;
    private bool _closed;

    internal KvmVfio(SimulatedVm vm, IUserAddressSpace memory, IUserFiles files)
    {
        _vm = vm;
        _memory = memory;
        _files = files;
    }

    /// <summary>The files as of now.</summary>
    public IReadOnlyList<VfioFile> Added
    {
        get
        {
            lock (_gate)
            {
                return [.. _added.Select(static a => a.File)];
            }
        }
    }

    /// <summary>KVM_DEV_VFIO_FILE_ADD. Devices that are open already stay as they are: add first, open then.</summary>
    /// <param name="file">A group's file, or a device's.</param>
    /// <exception cref="VfioException">EEXIST: it is added; EBADF: the file, or this device, is closed.</exception>
    public void AddFile(VfioFile file)
    {
        ArgumentNullException.ThrowIfNull(file);
        const string What = "KVM_DEV_VFIO_FILE_ADD";
        lock (_gate)
        {
            if (_closed)
            {
                throw new VfioException(Errno.EBADF, What, "the machine's VFIO device is closed");
            }

            if (Find(file) >= 0)
            {
                throw new VfioException(Errno.EEXIST, What, "the file is added already");
            }

            _added.Add((file, file.Hold()));
            file.SetHypervisor(_vm);
            UpdateCoherency();
        }
    }

    /// <summary>KVM_DEV_VFIO_FILE_DEL. Devices that are open keep the machine until they are closed.</summary>
    /// <param name="file">The file.</param>
    /// <exception cref="VfioException">ENOENT: it is not added.</exception>
    public void RemoveFile(VfioFile file)
    {
        ArgumentNullException.ThrowIfNull(file);
        IDisposable hold;
        lock (_gate)
        {
            int at = Find(file);
            if (at < 0)
            {
                throw new VfioException(Errno.ENOENT, "KVM_DEV_VFIO_FILE_DEL", "the file was not added");
            }

            file.SetHypervisor(null);
            hold = _added[at].Hold;
            _added.RemoveAt(at);
            UpdateCoherency();
        }

        // Maybe the file's last, and then devices close: not with the lock held.
        hold.Dispose();
    }

    /// <summary>KVM_HAS_DEVICE_ATTR.</summary>
    /// <param name="group">Group of attributes.</param>
    /// <param name="attribute">The attribute.</param>
    /// <exception cref="VfioException">ENXIO: there is no such attribute; EBADF: the device is closed.</exception>
    public void HasAttr(uint group, ulong attribute)
    {
        if (Volatile.Read(ref _closed))
        {
            throw new VfioException(Errno.EBADF, $"attribute {attribute} of group {group}", "the machine's VFIO device is closed");
        }

        if (group != KvmVfioAttribute.FileGroup || attribute is not (KvmVfioAttribute.FileAdd or KvmVfioAttribute.FileDel))
        {
            throw new VfioException(Errno.ENXIO, $"attribute {attribute} of group {group}", "the device has no such attribute");
        }
    }

    /// <summary>KVM_SET_DEVICE_ATTR.</summary>
    /// <param name="group">Group of attributes.</param>
    /// <param name="attribute">The attribute.</param>
    /// <param name="value">Its value: a descriptor.</param>
    /// <exception cref="VfioException">
    /// ENXIO: there is no such attribute; EFAULT: no value; EBADF: not open; EINVAL: no file of VFIO, to be added; EEXIST: added already;
    /// ENOENT: not added.
    /// </exception>
    public void SetAttr(uint group, ulong attribute, ReadOnlySpan<byte> value)
    {
        HasAttr(group, attribute);
        if (value.Length < KvmVfioAttribute.DescriptorLength)
        {
            throw new VfioException(Errno.EFAULT, $"attribute {attribute} of group {group}", "there is no descriptor");
        }

        int descriptor = BinaryPrimitives.ReadInt32LittleEndian(value);
        VfioFile? file = FindFile(descriptor);
        if (attribute == KvmVfioAttribute.FileAdd)
        {
            AddFile(file ?? throw new VfioException(Errno.EINVAL, "KVM_DEV_VFIO_FILE_ADD", $"descriptor {descriptor} is no file of VFIO"));
        }
        else
        {
            RemoveFile(file ?? throw new VfioException(Errno.ENOENT, "KVM_DEV_VFIO_FILE_DEL", $"descriptor {descriptor} was not added"));
        }
    }

    /// <summary>A call with the kernel's number and structure.</summary>
    /// <param name="request">The number, see <see cref="KvmRequest"/>.</param>
    /// <param name="argument">The structure.</param>
    /// <returns>What ioctl(2) returns.</returns>
    /// <exception cref="VfioException">ENOTTY: unknown number; EFAULT: no structure, or a bad address in it; as <see cref="SetAttr"/>.</exception>
    public int Ioctl(uint request, Span<byte> argument)
    {
        switch ((KvmRequest)request)
        {
            case KvmRequest.HasDeviceAttr:
                KvmDeviceAttr asked = SimulatedVm.Structure<KvmDeviceAttr>("KVM_HAS_DEVICE_ATTR", argument);
                HasAttr(asked.Group, asked.Attribute);
                return 0;
            case KvmRequest.SetDeviceAttr:
                KvmDeviceAttr set = SimulatedVm.Structure<KvmDeviceAttr>("KVM_SET_DEVICE_ATTR", argument);
                HasAttr(set.Group, set.Attribute);
                Span<byte> value = stackalloc byte[KvmVfioAttribute.DescriptorLength];
                Errno errno = _memory.Read(set.Address, value);
                if (errno != Errno.None)
                {
                    throw new VfioException(errno, "KVM_SET_DEVICE_ATTR", $"no descriptor can be read at 0x{set.Address:x}");
                }

                SetAttr(set.Group, set.Attribute, value);
                return 0;
            default:
                throw new VfioException(Errno.ENOTTY, $"request 0x{request:x}", "the device does not know it");
        }
    }

    /// <summary>Removes all files. The machine can then have another such device.</summary>
    public void Dispose()
    {
        (VfioFile File, IDisposable Hold)[] removed;
        lock (_gate)
        {
            _closed = true;
            removed = [.. _added];
            foreach ((VfioFile file, _) in removed)
            {
                file.SetHypervisor(null);
            }

            _added.Clear();
            UpdateCoherency();
        }

        foreach ((_, IDisposable hold) in removed)
        {
            hold.Dispose();
        }

        _vm.Removed(this);
    }

    private int Find(VfioFile file) => _added.FindIndex(a => a.File == file);

    private VfioFile? FindFile(int descriptor)
    {
        if (_files.Find(descriptor) is { } file)
        {
            return file as VfioFile;
        }

        // A descriptor of something else; one that is not open is EBADF.
        _files.Duplicate(descriptor).Dispose();
        return null;
    }

    private void UpdateCoherency()
    {
        bool nonCoherent = _added.Exists(static a => !a.File.IsEnforcedCoherent);
        if (nonCoherent == _nonCoherent)
        {
            return;
        }

        _nonCoherent = nonCoherent;
        if (nonCoherent)
        {
            _vm.RegisterNonCoherentDma();
        }
        else
        {
            _vm.UnregisterNonCoherentDma();
        }
    }
}
