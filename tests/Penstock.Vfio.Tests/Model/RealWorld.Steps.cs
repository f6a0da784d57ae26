using Penstock.Interop;
using Penstock.Specs.Iommufd;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests.Model;

/// <content>One step each.</content>
internal partial class RealWorld
{
    private protected virtual Outcome? Do(Step step)
    {
        switch (step.Kind)
        {
            case StepKind.OpenContainer:
                return _containers[step.A] is { IsClosed: false } ? null : Fill(ref _containers[step.A], _host.OpenContainer(User));
            case StepKind.CloseContainer:
                return _containers[step.A] is { IsClosed: false } container ? Close(container) : null;
            case StepKind.SetIommu:
                return On(_containers[step.A], c => c.SetIommu(step.B == 1 ? VfioIommuType.Type1V2 : VfioIommuType.Type1));
            case StepKind.Map:
                return On(_containers[step.A], c => c.MapDma(Bytes(step.B), Bytes(step.C), (DmaAccess)step.E, _memory, Bytes(step.D)));
            case StepKind.Unmap:
                return _containers[step.A] is { } from
                    ? new Outcome(Errno.None, step.D == 1 ? from.UnmapDma(0, 0, all: true) : from.UnmapDma(Bytes(step.B), Bytes(step.C)))
                    : null;
            case StepKind.OpenGroup:
                return _groupFiles[step.A] is { IsClosed: false } ? null : Fill(ref _groupFiles[step.A], _host.OpenGroup(_groups[step.B].Number, User));
            case StepKind.CloseGroup:
                return _groupFiles[step.A] is { IsClosed: false } group ? Close(group) : null;
            case StepKind.SetContainer:
                return _containers[step.B] is { } into ? On(_groupFiles[step.A], g => g.SetContainer(into)) : null;
            case StepKind.UnsetContainer:
                return On(_groupFiles[step.A], g => g.UnsetContainer());
            case StepKind.OpenDevice:
                return OpenDevice(step.A, step.B, step.C);
            case StepKind.CloseDevice:
                return Interlocked.Exchange(ref _deviceFiles[step.A], null) is { } opened ? CloseOf(opened.File, opened.Device) : null;
            case StepKind.Register:
                _host.Register(_devices[step.A], _groups[Places.GroupOf(step.A)]);
                return Errno.None;
            case StepKind.Unregister:
                return Unregister(_devices[step.A]);
            case StepKind.SetGroupMachine:
                return _groupFiles[step.A] is { IsClosed: false } file ? SetMachine(file, step.B) : null;
            case StepKind.SetCdevMachine:
                return _cdevs[step.A] is { } node ? SetMachine(node.File, step.B) : null;
            case StepKind.AddGroupToMachine:
                return _groupFiles[step.B] is { } toHold ? AddToMachine(step.A, toHold, null, step.C) : null;
            case StepKind.AddCdevToMachine:
                return _cdevs[step.B] is { } toKeep ? AddToMachine(step.A, toKeep.File, toKeep.Device, step.C) : null;
            case StepKind.DelFromMachine:
                return Interlocked.Exchange(ref _held[step.A], null) is { } held ? DelFromMachine(held) : null;
            case StepKind.CreateMachine:
                return _machines[step.A] is { References: not 0 } ? null : Fill(ref _machines[step.A], new CountedMachine());
            case StepKind.DestroyMachine:
                return _machines[step.A]?.Destroy() == true ? Errno.None : null;
            default:
                return DoIommufd(step);
        }
    }

    private static ulong Bytes(int pages) => (ulong)pages * Places.Page;

    private protected virtual Outcome Close(IDisposable file)
    {
        file.Dispose();
        return Errno.None;
    }

    private static Outcome? On<T>(T? target, Action<T> call)
        where T : class
    {
        if (target is null)
        {
            return null;
        }

        call(target);
        return Errno.None;
    }

    /// <summary>Puts something new into its place; what another thread has put there meanwhile is closed, not lost.</summary>
    private static Outcome Fill<T>(ref T? place, T made)
        where T : class
    {
        (Interlocked.Exchange(ref place, made) as IDisposable)?.Dispose();
        return Errno.None;
    }

    private Outcome? OpenDevice(int place, int groupFile, int index)
    {
        if (_deviceFiles[place] is not null || _groupFiles[groupFile] is not { } via)
        {
            return null;
        }

        var opened = new OpenedDevice(via.OpenDevice(_devices[index].Name), _devices[index]);
        if (Interlocked.Exchange(ref _deviceFiles[place], opened) is { } lost)
        {
            CloseOf(lost.File, lost.Device);
        }

        return Errno.None;
    }

    /// <summary>Closes a file of a device; if that was what an unregistration waited for, it ends.</summary>
    private Outcome CloseOf(IDisposable file, ModelDevice device)
    {
        file.Dispose();
        if (!_shared && !IsHeld(device))
        {
            foreach ((ModelDevice left, Task<Errno> task) in _leaving.Where(l => l.Device == device))
            {
                Wait(task, $"the unregistration of {left.Name}");
            }
        }

        return Errno.None;
    }

    private bool IsHeld(ModelDevice device) => device.IsOpen || _cdevs.Any(c => c?.Device == device) || _held.Any(h => h?.Device == device);

    /// <summary>What the machine's VFIO device does with a file that it is given.</summary>
    private Outcome? AddToMachine(int place, VfioFile file, ModelDevice? device, int machine)
    {
        if (_held[place] is not null || _machines[machine] is not { } owner)
        {
            return null;
        }

        var added = new HeldFile(file, file.Hold(), device);
        file.SetHypervisor(owner);
        if (Interlocked.Exchange(ref _held[place], added) is { } lost)
        {
            DelFromMachine(lost);
        }

        return Errno.None;
    }

    private Outcome DelFromMachine(HeldFile held)
    {
        held.File.SetHypervisor(null);
        if (held.Device is { } device)
        {
            return CloseOf(held.Hold, device);
        }

        held.Hold.Dispose();
        return Errno.None;
    }

    /// <summary>Unregistration runs beside everything else; of a device that somebody holds it goes on until that is let go.</summary>
    private Outcome Unregister(ModelDevice device)
    {
        device.Requested.Reset();
        Task<Errno> task = Task.Factory.StartNew(() => TryUnregister(device), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        if (_shared)
        {
            // Another thread may do the same at this moment: which of the two is asked nobody can say. All are waited for at the end.
            _leaving.Enqueue((device, task));
            return Errno.None;
        }

        int ended = WaitHandle.WaitAny([device.Requested.WaitHandle, ((IAsyncResult)task).AsyncWaitHandle], Patience);
        Assert.True(ended != WaitHandle.WaitTimeout, $"{device.Name} was not asked to be given back");
        if (task.IsCompleted || !IsHeld(device))
        {
            Wait(task, $"the unregistration of {device.Name}");
            return task.Result;
        }

        _leaving.Enqueue((device, task));
        return Errno.None;
    }

    private Errno TryUnregister(ModelDevice device) => ErrnoOf(() => _host.Unregister(device));

    private Outcome SetMachine(VfioFile file, int machine)
    {
        file.SetHypervisor(machine == Places.Machines ? null : _machines[machine]);
        return Errno.None;
    }

    private Outcome? DoIommufd(Step step)
    {
        switch (step.Kind)
        {
            case StepKind.OpenIommufd:
                if (_iommufds[step.A] is { Closed: 0 })
                {
                    return null;
                }

                IommufdContext context = _host.OpenIommufd(User);
                if (Interlocked.Exchange(ref _iommufds[step.A], new OpenedIommufd(context, context.AllocateIoas())) is { } before)
                {
                    CloseOnce(before);
                }

                return Errno.None;
            case StepKind.CloseIommufd:
                return _iommufds[step.A] is { Closed: 0 } iommufd ? CloseOnce(iommufd) : null;
            case StepKind.MapIoas:
                return _iommufds[step.A] is { Closed: 0 } mapped
                    ? On(mapped.Ioas, i => i.Map(_memory, Bytes(step.D), Bytes(step.C), (DmaAccess)step.E, Bytes(step.B)))
                    : null;
            case StepKind.UnmapIoas:
                return _iommufds[step.A] is { Closed: 0 } unmapped
                    ? new Outcome(Errno.None, step.D == 1 ? unmapped.Ioas.Unmap(0, IommufdLimits.Everything) : unmapped.Ioas.Unmap(Bytes(step.B), Bytes(step.C)))
                    : null;
            case StepKind.OpenCdev:
                return OpenCdev(step.A, step.B);
            case StepKind.CloseCdev:
                return Interlocked.Exchange(ref _cdevs[step.A], null) is { } cdev ? CloseOf(cdev.File, cdev.Device) : null;
            case StepKind.Bind:
                return _iommufds[step.B] is { Closed: 0 } to ? On(_cdevs[step.A], c => Bind(c, to)) : null;
            case StepKind.Attach:
                return On(_cdevs[step.A], c => c.File.Attach(c.Ioas));
            case StepKind.Detach:
                return On(_cdevs[step.A], c => c.File.Detach());
            default:
                throw new InvalidOperationException($"{step.Kind} is not one step");
        }
    }

    private static Outcome CloseOnce(OpenedIommufd iommufd)
    {
        if (Interlocked.Exchange(ref iommufd.Closed, 1) == 0)
        {
            iommufd.Context.Dispose();
        }

        return Errno.None;
    }

    private static void Bind(OpenedCdev cdev, OpenedIommufd iommufd)
    {
        cdev.File.Bind(iommufd.Context);
        cdev.Ioas = iommufd.Ioas.Id;
    }

    private Outcome? OpenCdev(int place, int index)
    {
        if (_cdevs[place] is not null)
        {
            return null;
        }

        var opened = new OpenedCdev(_host.OpenCdev(_devices[index].Name, User), _devices[index]);
        if (Interlocked.Exchange(ref _cdevs[place], opened) is { } lost)
        {
            CloseOf(lost.File, lost.Device);
        }

        return Errno.None;
    }
}
