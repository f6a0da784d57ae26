using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Drivers;

/// <content>Admin commands.</content>
public sealed unsafe partial class NvmeDriver
{
    /// <summary>Queues of their own that are asked for beside the shared ones.</summary>
    private const int OwnQueues = 16;

    /// <summary>Runs any admin command whose data, if it has any, comes from the controller.</summary>
    /// <param name="command">The command; identifier and data pointers are filled in here.</param>
    /// <param name="incoming">Receives the data, at most 8192 bytes; empty for none.</param>
    /// <returns>The command's own result, dword 0 of the completion.</returns>
    /// <exception cref="NvmeException">The controller refused it.</exception>
    /// <exception cref="VfioException">The controller failed.</exception>
    public uint Administer(NvmeCommand command, Span<byte> incoming = default)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(incoming.Length, AdminBuffer);
        WaitUntilRunning();
        return RunAdmin(ref command, incoming);
    }

    /// <summary>Reads a log page.</summary>
    /// <param name="log">The log.</param>
    /// <param name="destination">Receives its first bytes, a multiple of 4, at most 8192.</param>
    /// <exception cref="NvmeException">The controller refused it.</exception>
    /// <exception cref="VfioException">The controller failed.</exception>
    public void ReadLog(NvmeLogId log, Span<byte> destination)
    {
        ArgumentOutOfRangeException.ThrowIfZero(destination.Length);
        ArgumentOutOfRangeException.ThrowIfNotEqual(destination.Length % sizeof(uint), 0);
        const int CountShift = 16;
        Administer(
            new NvmeCommand
            {
                Opcode = (byte)NvmeAdminOpcode.GetLogPage,
                NamespaceId = NvmeLimits.AllNamespaces,
                Cdw10 = (uint)log | ((uint)((destination.Length / sizeof(uint)) - 1) << CountShift),
            },
            destination);
    }

    /// <summary>Asks for the current value of a feature that is one number.</summary>
    /// <param name="feature">The feature.</param>
    /// <returns>Its value.</returns>
    /// <exception cref="NvmeException">The controller refused it.</exception>
    /// <exception cref="VfioException">The controller failed.</exception>
    public uint GetFeature(NvmeFeatureId feature) => Administer(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.GetFeatures, Cdw10 = (uint)feature });

    /// <summary>Sets a feature that is one number.</summary>
    /// <param name="feature">The feature.</param>
    /// <param name="value">Its value.</param>
    /// <returns>The command's result.</returns>
    /// <exception cref="NvmeException">The controller refused it.</exception>
    /// <exception cref="VfioException">The controller failed.</exception>
    public uint SetFeature(NvmeFeatureId feature, uint value) =>
        Administer(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.SetFeatures, Cdw10 = (uint)feature, Cdw11 = value });

    /// <summary>
    /// Makes a queue pair for one thread's own use, without interrupts: for those who keep their data in memory of <see cref="AllocateMemory"/> and
    /// poll. It costs one of <see cref="GrantedQueues"/>.
    /// </summary>
    /// <param name="entries">Entries of each queue, 2 up to the controller's limit; one less can be under way.</param>
    /// <returns>The queue pair, which the caller disposes before the driver.</returns>
    /// <exception cref="VfioException">ENOSPC: the controller has no more; the controller failed.</exception>
    /// <exception cref="NvmeException">The controller refused it.</exception>
    public NvmeQueue CreateQueue(int entries = 128)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(entries, NvmeLimits.MinimumQueueEntries);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(entries, _capabilities.MaxQueueEntries);
        lock (_control)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            int id = _channels.Length + 1;
            while (_queues.Exists(q => q.Id == id))
            {
                id++;
            }

            if (id > GrantedQueues)
            {
                throw new VfioException(Errno.ENOSPC, $"making a queue of {Name}", $"the controller allows {GrantedQueues}, and all are in use; dispose one first");
            }

            DmaMemory memory = _device.Memory.Allocate(NvmeRing.SizeOf(entries), "nvme queue");
            try
            {
                var ring = new NvmeRing(id, entries, _doorbells, memory.Pointer, memory.Iova);
                CreateOwnPair(ring);
                var queue = new NvmeQueue(this, ring, memory);
                _queues.Add(queue);
                return queue;
            }
            catch
            {
                memory.Dispose();
                throw;
            }
        }
    }

    internal void Delete(NvmeQueue queue)
    {
        lock (_control)
        {
            if (!_queues.Remove(queue))
            {
                return;
            }

            try
            {
                if (!queue.IsLost)
                {
                    DeletePair(queue.Id);
                }
            }
            catch (Exception e) when (e is NvmeException or VfioException)
            {
                // A controller that still uses the queue finds no memory there; the reset makes it forget the queue.
                _options.Log?.Invoke($"{Name}: queue {queue.Id} could not be deleted: {e.Message}");
                Fail($"queue {queue.Id} could not be deleted");
            }
        }

        queue.Free();
    }

    private uint RunAdmin(ref NvmeCommand command, Span<byte> incoming)
    {
        var opcode = (NvmeAdminOpcode)command.Opcode;
        NvmeStatus status = _admin.Run(ref command, default, incoming, out uint result);
        return (status & NvmeStatus.CodeMask) == NvmeStatus.Success ? result : throw new NvmeException($"{opcode} of {Name}", status);
    }

    private NvmeControllerInfo IdentifyController()
    {
        byte[] data = Identify(NvmeIdentifyCns.Controller, 0);
        return new NvmeControllerInfo(data, _capabilities, _device.Read32(Bar, NvmeRegisters.Version));
    }

    private NvmeNamespaceInfo IdentifyNamespace(uint id)
    {
        if (id == 0)
        {
            id = BinaryPrimitives.ReadUInt32LittleEndian(Identify(NvmeIdentifyCns.ActiveNamespaces, 0));
            if (id == 0)
            {
                throw new VfioException(Errno.ENODEV, $"driving {Name}", "the controller has no active namespace");
            }
        }

        return new NvmeNamespaceInfo(id, Identify(NvmeIdentifyCns.Namespace, id));
    }

    private byte[] Identify(NvmeIdentifyCns what, uint namespaceId)
    {
        byte[] data = new byte[NvmeLimits.IdentifySize];
        var command = new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.Identify, NamespaceId = namespaceId, Cdw10 = (uint)what };
        RunAdmin(ref command, data);
        return data;
    }

    /// <summary>Asks for queues; the answer may be more or fewer.</summary>
    private int SetQueueCount(int wanted)
    {
        uint field = (uint)wanted - 1;
        var command = new NvmeCommand
        {
            Opcode = (byte)NvmeAdminOpcode.SetFeatures,
            Cdw10 = (uint)NvmeFeatureId.NumberOfQueues,
            Cdw11 = field | (field << NvmeQueueBits.CompletionQueuesShift),
        };
        uint granted = RunAdmin(ref command, default);
        return (int)Math.Min(granted & NvmeQueueBits.IdMask, granted >> NvmeQueueBits.CompletionQueuesShift) + 1;
    }

    /// <summary>The queues of the shared channels, and shadow doorbells where they are of use.</summary>
    private void CreateQueues()
    {
        for (int i = 0; i < _channels.Length; i++)
        {
            CreatePair(_channels[i].Ring, VectorOf(i));
        }

        if (_options.ShadowDoorbells && !_doorbells.AreMapped && (Controller.AdminCommands & NvmeIdentifyController.OacsDoorbellBuffer) != 0)
        {
            ulong at = _adminMemory.Size - (2 * Page);

            // SAFETY: the last two pages of the memory are for this.
            new Span<byte>(_adminMemory.Pointer + at, (int)(2 * Page)).Clear();
            var command = new NvmeCommand
            {
                Opcode = (byte)NvmeAdminOpcode.DoorbellBufferConfig,
                Prp1 = _adminMemory.Iova + at,
                Prp2 = _adminMemory.Iova + at + Page,
            };
            RunAdmin(ref command, default);
            _doorbells.UseShadow(_adminMemory.Pointer + at);
        }
    }

    private void CreatePair(NvmeRing ring, int? vector)
    {
        CreateCompletionQueue(ring, vector);
        CreateSubmissionQueue(ring);
    }

    /// <summary>Both queues, or neither: half a pair would keep its number from the next one.</summary>
    private void CreateOwnPair(NvmeRing ring)
    {
        CreateCompletionQueue(ring, vector: null);
        try
        {
            CreateSubmissionQueue(ring);
        }
        catch (NvmeException)
        {
            try
            {
                DeleteCompletionQueue(ring.Id);
            }
            catch (Exception e) when (e is NvmeException or VfioException)
            {
                // The reset makes the controller forget it.
                _options.Log?.Invoke($"{Name}: completion queue {ring.Id} could not be deleted: {e.Message}");
                Fail($"completion queue {ring.Id} could not be deleted");
            }

            throw;
        }
    }

    private void CreateCompletionQueue(NvmeRing ring, int? vector)
    {
        var completion = new NvmeCommand
        {
            Opcode = (byte)NvmeAdminOpcode.CreateCompletionQueue,
            Prp1 = ring.CompletionIova,
            Cdw10 = SizeOf(ring),
            Cdw11 = NvmeQueueBits.Contiguous | (vector is { } v ? NvmeQueueBits.InterruptsEnabled | ((uint)v << NvmeQueueBits.VectorShift) : 0),
        };
        RunAdmin(ref completion, default);
    }

    private void CreateSubmissionQueue(NvmeRing ring)
    {
        var submission = new NvmeCommand
        {
            Opcode = (byte)NvmeAdminOpcode.CreateSubmissionQueue,
            Prp1 = ring.SubmissionIova,
            Cdw10 = SizeOf(ring),
            Cdw11 = NvmeQueueBits.Contiguous | ((uint)ring.Id << NvmeQueueBits.CompletionQueueShift),
        };
        RunAdmin(ref submission, default);
    }

    private static uint SizeOf(NvmeRing ring) => (uint)ring.Id | ((uint)(ring.Entries - 1) << NvmeQueueBits.SizeShift);

    private void DeletePair(int id)
    {
        var submission = new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DeleteSubmissionQueue, Cdw10 = (uint)id };
        RunAdmin(ref submission, default);
        DeleteCompletionQueue(id);
    }

    private void DeleteCompletionQueue(int id)
    {
        var completion = new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DeleteCompletionQueue, Cdw10 = (uint)id };
        RunAdmin(ref completion, default);
    }
}
