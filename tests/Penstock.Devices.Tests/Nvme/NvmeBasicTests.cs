using System.Security.Cryptography;
using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>From power-on to data and back.</summary>
public sealed class NvmeBasicTests
{
    [Fact]
    public void Identify_AfterEnable_TellsTheController()
    {
        using NvmeRig rig = new NvmeRig(new NvmeOptions { SerialNumber = "ABC" }).Enable();
        ulong page = rig.Pages();
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.Identify, Prp1 = page, Cdw10 = (uint)NvmeIdentifyCns.Controller });
        Assert.Equal("ABC ", System.Text.Encoding.ASCII.GetString(rig.At(page + NvmeIdentifyController.SerialNumber, 4)));
    }

    [Fact]
    public void Write_ThenRead_GivesTheSame()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        NvmeHostQueue queue = rig.CreatePair();
        ulong from = rig.Pages();
        ulong to = rig.Pages();
        byte[] data = RandomNumberGenerator.GetBytes(NvmeRig.Page);
        data.CopyTo(rig.At(from, data.Length));
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Write, 8, 8, from));
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Read, 8, 8, to));
        Assert.Equal(data, rig.At(to, data.Length));
    }
}
